"""A recording played to decoders as fast as the machine allows, and scored as a session is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phantomlink.engine.faults import NO_FAULT, Fault, Line
from phantomlink.engine.perturbed import AppliedPerturbation, apply_perturbation
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.evaluation.truth import Truth, rules_of
from phantomlink.perturbation import Perturbation
from phantomlink.recordings.bins import Bins, Block
from phantomlink.scoring import Outcome, Prediction, Scoreboard, SentPacket
from phantomlink.scoring.packets import Kinematics

_BLOCK_BINS = 512
_PLAYHEAD = "offline"


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A packet before it is sent."""

    packet: SentPacket
    counts: np.ndarray[tuple[int], np.dtype[np.uint16]]


@dataclass(frozen=True, slots=True, eq=False)
class PerturbedBlock:
    """Bins as a session would send them.

    Attributes:
        block: as they were recorded.
        counts: as they are sent.
        faults: of each on its way.
    """

    block: Block
    counts: np.ndarray[tuple[int, int], np.dtype[np.uint16]]
    faults: Sequence[Fault]


def perturbed_blocks(bins: Bins, perturbation: Perturbation, seed: int) -> Iterator[PerturbedBlock]:
    """All bins of the first loop, in order.

    Raises:
        InvalidParameterError: the perturbation does not fit the recording.
        RecordingError: it cannot be read.
    """
    applied = apply_perturbation(perturbation, seed, bins)
    for start in range(0, bins.grid.n_bins, _BLOCK_BINS):
        block = bins.read(start, min(start + _BLOCK_BINS, bins.grid.n_bins))
        if applied is None:
            yield PerturbedBlock(block, block.counts, [NO_FAULT] * len(block.counts))
        else:
            counts = applied.perturber.counts(block.counts, start, 0)
            yield PerturbedBlock(block, counts, _faults(applied, start, len(counts)))


def score_decoders(
    bins: Bins,
    feeds: Mapping[str, DecoderFeed],
    perturbation: Perturbation,
    seed: int,
    *,
    unscored: Sequence[int] = (),
) -> Scoreboard:
    """Play a recording once, from its first bin to its last.

    Args:
        bins: of the recording.
        feeds: of the decoders, by name; used up.
        perturbation: what is done to the packets.
        seed: of it.
        unscored: trials that are played and not scored.

    Raises:
        InvalidParameterError: the perturbation does not fit the recording.
        RecordingError: it cannot be read.
        DecoderError: a decoder does not keep to its interface.
    """
    rate = bins.grid.rate_hz
    period_ns = round(1e9 * rate.denominator / rate.numerator)
    board = Scoreboard(rules_of(bins, period_ns))
    for name in feeds:
        if board.connect(name, name, _PLAYHEAD, 0) is not Outcome.SCORED:
            raise ValueError(f"{len(feeds)} decoders do not fit on one scoreboard")
    truth = Truth(bins, unscored)
    line: Line[_Row] = Line()
    last = bins.grid.n_bins - 1
    for part in perturbed_blocks(bins, perturbation, seed):
        now_ns = 0
        for row, fault in zip(_rows(part, truth, period_ns), part.faults, strict=True):
            now_ns = row.packet.sent_ns
            outcome = line.tick(row, fault, is_last=row.packet.packet_id == last)
            for leaving in outcome.leaving:
                _send(board, feeds, leaving)
            if row.packet.is_lost:
                board.sent(_PLAYHEAD, row.packet)
        board.close(now_ns)
    board.close_all(_PLAYHEAD)
    board.settle()
    return board


def observed_of(block: Block) -> list[bool]:
    """Whether any of each bin's time was observed."""
    n = len(block.counts)
    return [True] * n if block.observed is None else [bool(each) for each in block.observed]


def _rows(part: PerturbedBlock, truth: Truth, period_ns: int) -> Iterator[_Row]:
    block = part.block
    kinematics = block.kinematics.tolist()
    trial_rows = block.trial_rows.tolist()
    for row, (values, trial_row, observed, fault) in enumerate(
        zip(kinematics, trial_rows, observed_of(block), part.faults, strict=True)
    ):
        index = block.start + row
        known: Kinematics = tuple(values)
        packet = truth.packet(
            index,
            index,
            0,
            index * period_ns,
            known,
            trial_row,
            is_observed=observed,
            is_lost=fault.lost,
        )
        yield _Row(packet, part.counts[row])


def _send(board: Scoreboard, feeds: Mapping[str, DecoderFeed], row: _Row) -> None:
    packet = row.packet
    board.sent(_PLAYHEAD, packet)
    kinematics = np.array(packet.truth)
    for name, feed in feeds.items():
        said = feed.packet(packet.sequence_number, packet.packet_id, row.counts)
        if said is not None:
            prediction = Prediction(packet.packet_id, said, 0, packet.sequence_number)
            board.answer(name, name, _PLAYHEAD, prediction, packet.sent_ns)
            feed.learn(kinematics, packet.trial_id)
            if feed.needs_refit:
                feed.refit()


def _faults(applied: AppliedPerturbation, start: int, n: int) -> list[Fault]:
    plan = applied.perturber.transport(start, n, 0)
    if plan is None:
        return [NO_FAULT] * n
    columns = (plan.lost, plan.duplicated, plan.swapped, plan.delay_ns)
    return [Fault(*done) for done in zip(*(column.tolist() for column in columns), strict=True)]
