"""A session's perturbation at work: rows of a block become the packets that are sent.

Which counts a packet has depends on its loop and its bin alone, never on how it came to be built:
blocks are perturbed a few rows at a time, since a whole one would hold the event loop for the
length of a tick at high rates, and a row is the same in whichever few it comes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.faults import Fault
from phantomlink.perturbation import Perturbation
from phantomlink.recordings.bins import Bins, Block
from phantomlink.wire.canonical import canonical_json
from phantomlink.wire.packet import Packet

if TYPE_CHECKING:
    from phantomlink.perturbation.compiled import TransportPlan
    from phantomlink.perturbation.perturber import Perturber

# A chunk of few rows costs nearly as much as one of these, which tools/perturbation_cost.py
# measures: how long it holds the event loop after one tick of twenty, and what that is a packet.
_CHUNK_ROWS = 20
_CHUNK_COUNTS = 4096
# What happens to packets on their way costs a chunk as much as many of them.
_PLAN_ROWS = 64
_ID_DIGITS = 12


@dataclass(frozen=True, slots=True, eq=False)
class AppliedPerturbation:
    """A perturbation that does something, with its seed, for one recording at one bin width.

    Attributes:
        perturbation: what is done.
        seed: what the random bits come from.
        perturber: does it; not to be shared with another thread.
        perturbation_id: names both in every packet.
    """

    perturbation: Perturbation
    seed: int
    perturber: Perturber
    perturbation_id: str


def apply_perturbation(
    perturbation: Perturbation, seed: int, bins: Bins
) -> AppliedPerturbation | None:
    """The perturbation ready for use; None when it leaves everything as it is.

    Raises:
        InvalidParameterError: it does not fit this recording.
    """
    if perturbation.is_identity:
        return None
    from phantomlink.perturbation.perturber import Perturber  # noqa: PLC0415

    perturber = Perturber(
        perturbation,
        seed=seed,
        unit_ids=bins.unit_ids,
        unit_labels=bins.unit_labels,
        grid=bins.grid,
    )
    # Not its name: what is done is the same whatever it is called.
    done = {name: said for name, said in perturbation.as_json().items() if name != "name"}
    said = canonical_json({"perturbation": done, "seed": seed})
    digest = hashlib.sha256(said.encode()).hexdigest()
    return AppliedPerturbation(perturbation, seed, perturber, digest[:_ID_DIGITS])


def warm_up(applied: AppliedPerturbation, bins: Bins) -> None:
    """Do once what costs some ms the first time, such as making tables; blocks.

    Args:
        applied: to the recording; nobody uses it yet.
        bins: of the recording.
    """
    nothing = np.zeros((1, len(bins.unit_ids)), np.uint16)
    applied.perturber.counts(nothing, bins.grid.n_bins - 1, 0)
    applied.perturber.transport(bins.grid.n_bins - 1, 1, 0)


class SentRows:
    """The rows of a block as packets of one loop.

    Args:
        assembler: of the recording's packets.
        block: its rows.
        loop: of the playhead; a block never reaches from one into the next.
        applied: what is done to them; None for nothing.
    """

    def __init__(
        self,
        assembler: PacketAssembler,
        block: Block,
        loop: int,
        applied: AppliedPerturbation | None,
    ) -> None:
        self._assembler = assembler
        self._rows = assembler.rows(block)
        self._loop = loop
        self._applied = applied
        self._chunk = range(0)
        self._counts = block.counts[:0]
        self._planned = range(0)
        self._plan: list[tuple[bool, bool, bool, int]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def packet(self, row: int, sequence_number: int) -> Packet:
        """The packet of a row."""
        applied = self._applied
        if applied is None:
            return self._assembler.packet(self._rows, row, sequence_number, self._loop)
        if row not in self._chunk:
            self._perturb(applied, row)
        return self._assembler.packet(
            self._rows,
            row,
            sequence_number,
            self._loop,
            counts=self._counts[row - self._chunk.start],
            perturbation_id=applied.perturbation_id,
        )

    def fault(self, row: int) -> Fault | None:
        """What becomes of the packet of a row on its way."""
        applied = self._applied
        if applied is None:
            return None
        if row not in self._planned:
            self._plan_ahead(applied, row)
        if self._plan is None:
            return None
        done = self._plan[row - self._planned.start]
        return Fault(*done) if any(done) else None

    def _perturb(self, applied: AppliedPerturbation, row: int) -> None:
        rows = self._rows
        most = max(1, min(_CHUNK_ROWS, _CHUNK_COUNTS // rows.counts.shape[1]))
        self._chunk = range(row, min(row + most, len(rows)))
        counts = rows.counts[self._chunk.start : self._chunk.stop]
        self._counts = applied.perturber.counts(counts, rows.start + row, self._loop)

    def _plan_ahead(self, applied: AppliedPerturbation, row: int) -> None:
        self._planned = range(row, min(row + _PLAN_ROWS, len(self._rows)))
        start, n = self._rows.start + row, len(self._planned)
        plan = applied.perturber.transport(start, n, self._loop)
        self._plan = None if plan is None else _by_packet(plan)


def _by_packet(plan: TransportPlan) -> list[tuple[bool, bool, bool, int]]:
    """What `Fault` takes, for each packet."""
    columns = (plan.lost, plan.duplicated, plan.swapped, plan.delay_ns)
    return list(zip(*(column.tolist() for column in columns), strict=True))
