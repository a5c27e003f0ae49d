"""A perturbation compiled for one recording: counts and transport of any packet, in any order."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phantomlink.perturbation.compiled import (
    CountOperation,
    Place,
    Span,
    TransportOperation,
    TransportPlan,
    first_bin_from,
)
from phantomlink.perturbation.exact import Counts
from phantomlink.perturbation.operations import COUNT_OPERATIONS, TRANSPORT_OPERATIONS
from phantomlink.perturbation.perturbation import SEEDS, Perturbation, Step
from phantomlink.recordings.grid import BinGrid


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What applies from a stream time (in bins) on."""

    start: int
    counts: tuple[CountOperation, ...]
    transport: tuple[TransportOperation, ...]


class Perturber:
    """Applies a perturbation to packets of one recording at one bin width.

    What comes out for a packet depends on the perturbation, the seed, the loop and the packet,
    never on which packets were asked for before or together with it. Not for two threads at once.

    Args:
        perturbation: what to apply.
        seed: 0 to 2**63 - 1.
        unit_ids: of the units, in the order of the counts.
        grid: bins of the recording.
        unit_labels: ids of the file as texts where `unit_ids` are rows; else None.

    Raises:
        InvalidParameterError: a seed out of range, or a unit id that the recording does not have.
    """

    def __init__(
        self,
        perturbation: Perturbation,
        *,
        seed: int,
        unit_ids: Sequence[int],
        grid: BinGrid,
        unit_labels: tuple[str, ...] | None = None,
    ) -> None:
        seed = SEEDS.parse(seed, "seed")
        self._n_bins = grid.n_bins
        ids = tuple(int(unit_id) for unit_id in unit_ids)
        self._stretches = [
            _compile(step, field, seed, ids, unit_labels, grid)
            for step, field in _named_steps(perturbation)
        ]
        self._starts = [stretch.start for stretch in self._stretches]

    def counts(self, counts: Counts, start: int, loop: int) -> Counts:
        """Counts of bins [start, start + n) as they are to be seen.

        Args:
            counts: (n, n_units) spikes per bin; not written to.
            start: the first bin.
            loop: times the recording has wrapped.

        Returns:
            Same shape; the input itself where nothing applies.
        """
        parts = []
        row = 0
        for stretch, span in self._spans(start, counts.shape[0], loop):
            part = counts if span.n == counts.shape[0] else counts[row : row + span.n]
            row += span.n
            if stretch is not None:
                for operation in stretch.counts:
                    part = operation.apply(part, span)
            parts.append(part)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else counts

    def transport(self, start: int, n: int, loop: int) -> TransportPlan | None:
        """What happens to packets [start, start + n) of a loop on their way.

        Returns:
            None where no fault of transport applies to any of them.
        """
        spans = self._spans(start, n, loop)
        if not any(stretch is not None and stretch.transport for stretch, _ in spans):
            return None
        plan = TransportPlan.of_nothing(n)
        row = 0
        for stretch, span in spans:
            if stretch is not None:
                part = plan.rows(row, row + span.n)
                for operation in stretch.transport:
                    operation.add(part, span)
            row += span.n
        return plan

    def _spans(self, start: int, n: int, loop: int) -> list[tuple[_Stretch | None, Span]]:
        """Packets [start, start + n) of a loop, cut where another step begins."""
        time = loop * self._n_bins + start
        index = bisect_right(self._starts, time) - 1
        spans: list[tuple[_Stretch | None, Span]] = []
        while n > 0:
            following = index + 1
            here = n
            if following < len(self._starts):
                here = min(n, self._starts[following] - time)
            stretch = self._stretches[index] if index >= 0 else None
            if here > 0:  # two steps may begin in the same bin
                spans.append((stretch, Span(start, here, loop, time)))
            start, time, n, index = start + here, time + here, n - here, following
        return spans


def _named_steps(perturbation: Perturbation) -> list[tuple[Step, str]]:
    """Steps with what they are called in messages: the way they are written in JSON."""
    steps = perturbation.steps
    if "transforms" in perturbation.as_json():
        return [(step, "perturbation") for step in steps]
    return [(step, f"perturbation.steps[{position}]") for position, step in enumerate(steps)]


def _compile(
    step: Step,
    field: str,
    seed: int,
    unit_ids: tuple[int, ...],
    unit_labels: tuple[str, ...] | None,
    grid: BinGrid,
) -> _Stretch:
    counts: list[CountOperation] = []
    transport: list[TransportOperation] = []
    seen: Counter[int] = Counter()
    for position, transform in enumerate(step.transforms):
        place = Place(
            seed=seed,
            code=transform.code,
            nth=seen[transform.code],
            unit_ids=unit_ids,
            unit_labels=unit_labels,
            grid=grid,
            field=f"{field}.transforms[{position}]",
        )
        seen[transform.code] += 1
        if transform.is_identity:
            continue
        if type(transform) in COUNT_OPERATIONS:
            counts.append(COUNT_OPERATIONS[type(transform)](transform, place))
        else:
            transport.append(TRANSPORT_OPERATIONS[type(transform)](transform, place))
    return _Stretch(first_bin_from(step.at_seconds, grid), tuple(counts), tuple(transport))
