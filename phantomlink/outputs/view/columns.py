"""Columns: a few bins of a session's packets summed, as views get them.

Theory of operation. Packets of one run (one playhead without a seek, in one loop, under one
perturbation) have one difference of `packet_id` and `sequence_number`, also where some are lost on
purpose: those use up a number. So that difference, the loop and the perturbation tell runs apart.
A column holds the packets whose ids have the same quotient by the width, and is complete when it
has them all, or when a packet has come that none of its own can be behind any more: an overtaken
packet leaves right after its successor. What a run begins or ends in the middle of is a column of
fewer bins, and so is each part of one in which packets were skipped: nobody knows of those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.wire.packet import Packet

# A packet that is overtaken on purpose leaves behind its successor, and not later.
_OVERTAKEN_BY = 1
_MOST_IN_A_COUNT = 255
NO_TRIAL = -1


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns of one width that follow each other in one run.

    Attributes:
        packet_id: first of the first column.
        loop: times the recording had wrapped.
        first_sequence, last_sequence: numbers of the first and last packet, lost ones included.
        bins_per_column: packets that make one, lost ones included.
        counts: (n, n_units) uint8, spikes that were sent; 255 stands for more too.
        kinematics: (n, 4) float32, vx, vy, x, y of the last packet sent; NaN where unknown.
        intention: (n, 4) float32, target_x, target_y, target_id, reach_id of it; NaN likewise.
        trial_ids: (n,) int32, of it; `NO_TRIAL` outside trials.
        lost: (n,) uint8, packets that were lost on purpose.
        observed: (n,) uint8, 0 where nothing of the time of the packets sent was observed.
        decoded: (n, 2) float32 by name of a built-in decoder, vx, vy of the last packet sent; NaN
            where it said nothing.
        perturbation_id: what was done to the counts; None for nothing.
        timestamp: when the last packet left, Unix s.
    """

    packet_id: int
    loop: int
    first_sequence: int
    last_sequence: int
    bins_per_column: int
    counts: NDArray[np.uint8]
    kinematics: NDArray[np.float32]
    intention: NDArray[np.float32]
    trial_ids: NDArray[np.int32]
    lost: NDArray[np.uint8]
    observed: NDArray[np.uint8]
    perturbation_id: str | None
    timestamp: float
    decoded: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.counts)

    def is_followed_by(self, other: Columns) -> bool:
        """Whether `other` goes on where this ends, with columns of the same width."""
        return (
            self.bins_per_column == other.bins_per_column
            and self.loop == other.loop
            and self.perturbation_id == other.perturbation_id
            and self.packet_id + len(self) * self.bins_per_column == other.packet_id
            and self.last_sequence + 1 == other.first_sequence
        )

    def part(self, start: int, stop: int) -> Columns:
        """Columns [start, stop) of these."""
        bins = self.bins_per_column
        return replace(
            self,
            packet_id=self.packet_id + start * bins,
            first_sequence=self.first_sequence + start * bins,
            last_sequence=self.first_sequence + stop * bins - 1,
            counts=self.counts[start:stop],
            kinematics=self.kinematics[start:stop],
            intention=self.intention[start:stop],
            trial_ids=self.trial_ids[start:stop],
            lost=self.lost[start:stop],
            observed=self.observed[start:stop],
            decoded=self.decoded_rows(slice(start, stop)),
        )

    def decoded_rows(self, rows: slice) -> dict[str, NDArray[np.float32]]:
        """What is decoded in some of the columns."""
        return {name: values[rows] for name, values in self.decoded.items()}

    def decoded_by(self, name: str) -> NDArray[np.float32]:
        """(n, 2) what one decoder said; NaN throughout where it was not there."""
        values = self.decoded.get(name)
        return np.full((len(self), 2), np.nan, np.float32) if values is None else values


@dataclass(slots=True)
class _OpenColumn:
    first_id: int
    packets: dict[int, Packet] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    timestamps: dict[int, float] = field(default_factory=dict)

    @property
    def n_bins(self) -> int:
        return len(self.packets) + len(self.lost)


@dataclass(slots=True, frozen=True, eq=False)
class _ClosedColumn:
    """All there will be of a column; its arrays are made together with those of its neighbours.

    `totals`: (n_units,) of any unsigned type. `packet`: the last one that was sent; None where all
    were lost.
    """

    first_id: int
    last_id: int
    offset: int
    loop: int
    perturbation_id: str | None
    totals: NDArray[Any]
    packet: Packet | None
    n_lost: int
    is_observed: bool
    timestamp: float

    def is_followed_by(self, other: _ClosedColumn) -> bool:
        return (
            self.last_id + 1 == other.first_id
            and self.last_id - self.first_id == other.last_id - other.first_id
            and (self.offset, self.loop) == (other.offset, other.loop)
            and self.perturbation_id == other.perturbation_id
        )


class ColumnBuilder:
    """Makes columns of packets, in the order in which they left.

    Args:
        bins_per_column: packets that make one.
        units: rows of the units that are wanted.
    """

    def __init__(self, bins_per_column: int, units: slice) -> None:
        self._bins = bins_per_column
        self._units = units
        self._run: tuple[int, int, str | None] | None = None
        self._open: dict[int, _OpenColumn] = {}
        self._begins_at = 0
        self._newest_id = -1
        # The first column that is not closed.
        self._next = 0
        self._closed: list[_ClosedColumn] = []

    def take(self, packet: Packet, timestamp: float) -> None:
        """A packet has left; one that left before is ignored."""
        column = self._column_of(packet)
        if column is not None and packet.packet_id not in column.packets:
            column.packets[packet.packet_id] = packet
            column.timestamps[packet.packet_id] = timestamp
            self._close_complete()

    def take_lost(self, packet: Packet) -> None:
        """A packet is lost on purpose."""
        column = self._column_of(packet)
        if column is not None:
            column.lost.add(packet.packet_id)
            self._close_complete()

    def finish_run(self) -> None:
        """Nothing goes on from here: what is open is all there will be of it."""
        for number in sorted(self._open):
            self._close(self._open[number])
        self._open.clear()
        self._run = None

    def finished(self) -> list[Columns]:
        """What is complete since this was asked last, oldest first, as few as possible."""
        closed, self._closed = self._closed, []
        runs: list[list[_ClosedColumn]] = []
        for each in closed:
            if runs and runs[-1][-1].is_followed_by(each):
                runs[-1].append(each)
            else:
                runs.append([each])
        return [_columns(run) for run in runs]

    def _column_of(self, packet: Packet) -> _OpenColumn | None:
        """Where a packet belongs; None where that is closed."""
        run = (packet.packet_id - packet.sequence_number, packet.loop, packet.perturbation_id)
        number = packet.packet_id // self._bins
        if run != self._run:
            self.finish_run()
            self._run = run
            self._newest_id = packet.packet_id
            # The first packet may have overtaken the one before it.
            self._begins_at = max(0, packet.packet_id - _OVERTAKEN_BY)
            self._next = self._begins_at // self._bins
        self._newest_id = max(self._newest_id, packet.packet_id)
        if number < self._next:
            return None
        column = self._open.get(number)
        if column is None:
            column = self._open[number] = _OpenColumn(number * self._bins)
        return column

    def _close_complete(self) -> None:
        while self._next * self._bins <= self._newest_id:
            begin, end = self._next * self._bins, (self._next + 1) * self._bins
            column = self._open.get(self._next)
            n_bins = 0 if column is None else column.n_bins
            is_all = n_bins == end - max(begin, self._begins_at)
            if not is_all and self._newest_id < end + _OVERTAKEN_BY:
                return
            if column is not None:
                self._close(column)
                del self._open[self._next]
            self._next += 1

    def _close(self, column: _OpenColumn) -> None:
        ids = sorted({*column.packets, *column.lost})
        begin = 0
        for end in range(1, len(ids) + 1):
            # A stall skips packets where a session has a record.
            if end == len(ids) or ids[end] != ids[end - 1] + 1:
                self._close_part(column, ids[begin:end])
                begin = end

    def _close_part(self, column: _OpenColumn, ids: list[int]) -> None:
        """Packets of a column that follow each other are one."""
        sent = [column.packets[each] for each in ids if each in column.packets]
        assert self._run is not None
        offset, loop, perturbation_id = self._run
        if len(sent) == 1:
            totals = sent[0].spike_counts[self._units]
        elif sent:
            rows = [packet.spike_counts[self._units] for packet in sent]
            totals = np.add.reduce(rows, dtype=np.uint32)
        else:
            totals = np.zeros(len(range(*self._units.indices(2**31))), np.uint8)
        self._closed.append(
            _ClosedColumn(
                ids[0],
                ids[-1],
                offset,
                loop,
                perturbation_id,
                totals,
                sent[-1] if sent else None,
                len(ids) - len(sent),
                not sent or any(packet.observed for packet in sent),
                max((column.timestamps[packet.packet_id] for packet in sent), default=0.0),
            )
        )


def _columns(run: list[_ClosedColumn]) -> Columns:
    """The arrays of columns that follow each other."""
    first, last = run[0], run[-1]
    packets = [each.packet for each in run]
    names = dict.fromkeys(
        name for packet in packets if packet is not None for name in packet.decoded or ()
    )
    return Columns(
        packet_id=first.first_id,
        loop=first.loop,
        first_sequence=first.first_id - first.offset,
        last_sequence=last.last_id - first.offset,
        bins_per_column=first.last_id - first.first_id + 1,
        counts=np.minimum([each.totals for each in run], _MOST_IN_A_COUNT).astype(np.uint8),
        # None becomes NaN.
        kinematics=np.array([_kinematics(each) for each in packets], np.float32),
        intention=np.array([_intention(each) for each in packets], np.float32),
        trial_ids=np.array([_trial(each) for each in packets], np.int32),
        lost=np.array([min(each.n_lost, _MOST_IN_A_COUNT) for each in run], np.uint8),
        observed=np.array([each.is_observed for each in run], np.uint8),
        perturbation_id=first.perturbation_id,
        timestamp=last.timestamp or first.timestamp,
        decoded={
            name: np.array([_decoded(each, name) for each in packets], np.float32) for name in names
        },
    )


def joined(columns: list[Columns]) -> list[Columns]:
    """The same columns in as few pieces as possible."""
    runs: list[list[Columns]] = []
    for each in columns:
        if runs and runs[-1][-1].is_followed_by(each):
            runs[-1].append(each)
        else:
            runs.append([each])
    return [run[0] if len(run) == 1 else _concatenated(run) for run in runs]


def _concatenated(run: list[Columns]) -> Columns:
    return replace(
        run[0],
        last_sequence=run[-1].last_sequence,
        counts=np.concatenate([each.counts for each in run]),
        kinematics=np.concatenate([each.kinematics for each in run]),
        intention=np.concatenate([each.intention for each in run]),
        trial_ids=np.concatenate([each.trial_ids for each in run]),
        lost=np.concatenate([each.lost for each in run]),
        observed=np.concatenate([each.observed for each in run]),
        timestamp=run[-1].timestamp or run[0].timestamp,
        decoded={
            name: np.concatenate([each.decoded_by(name) for each in run])
            for name in dict.fromkeys(name for each in run for name in each.decoded)
        },
    )


def columns_of(packet: Packet, units: slice, timestamp: float) -> Columns:
    """One packet as a column."""
    builder = ColumnBuilder(1, units)
    builder.take(packet, timestamp)
    builder.finish_run()
    return builder.finished()[0]


_Numbers = tuple[float | None, ...]


def _kinematics(packet: Packet | None) -> _Numbers:
    if packet is None:
        return (None,) * 4
    return packet.vx, packet.vy, packet.x, packet.y


def _decoded(packet: Packet | None, name: str) -> _Numbers:
    said = None if packet is None else packet.decoded
    return (None, None) if said is None else said.get(name, (None, None))


def _intention(packet: Packet | None) -> _Numbers:
    if packet is None:
        return (None,) * 4
    aim = packet.intention
    return aim.target_x, aim.target_y, aim.target_id, aim.reach_id


def _trial(packet: Packet | None) -> int:
    return NO_TRIAL if packet is None or packet.trial_id is None else packet.trial_id
