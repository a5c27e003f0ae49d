"""A capture as a row of bins: what NWB, which knows no sending, makes of it.

Packet k, in the order of sequence numbers, is bin k, which begins after k bin widths. Packets that
are missing keep their place as bins that nobody observed. Trials are visits: one that was played
twice, or left by a seek, has as many rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.captures.records import Answer, Control, Header, Marker, Record, Sent
from phantomlink.captures.verify import in_order
from phantomlink.errors import CaptureError

# What packets have of a trial by its other columns, and what NWB's table has of its own.
_NOT_COLUMNS = frozenset(
    {"trial_id", "target_id", "target_x", "target_y", "reach_id", "start_time", "stop_time"}
    | {"id", "tags", "timeseries"}
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A stretch of bins in one trial.

    Attributes:
        start, stop: s, the capture's clock.
        columns: the source's, times among them moved to the capture's clock; and
            `source_trial_id` and `source_start_time`.
    """

    start: float
    stop: float
    columns: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class CapturedBins:
    """All bins of a capture.

    Attributes:
        header: of its journal.
        width: of a bin, s.
        counts: (n, n_units) spikes.
        kinematics: (n, 4) vx, vy, x, y; NaN where there is none.
        observed: (n,) whether the bin is of a packet whose time was observed.
        sent: of each bin; None where a packet is missing.
        visits: of trials, in order.
        controls, answers, markers: as they came.
    """

    header: Header
    width: float
    counts: NDArray[np.uint16]
    kinematics: NDArray[np.float64]
    observed: NDArray[np.bool_]
    sent: list[Sent | None]
    visits: list[Visit]
    controls: list[Control] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    markers: list[Marker] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sent)

    def spike_times(self, unit: int) -> NDArray[np.float64]:
        """Spikes of a unit, s: those of a bin evenly inside it, so that each is counted there."""
        counts = self.counts[:, unit].astype(np.int64)
        bins = np.repeat(np.arange(len(counts)), counts)
        n_in_bin = np.repeat(counts, counts)
        nth = np.arange(len(bins)) - np.repeat(np.cumsum(counts) - counts, counts)
        times: NDArray[np.float64] = (bins + (nth + 0.5) / n_in_bin) * self.width
        return times

    def observed_intervals(self) -> NDArray[np.float64]:
        """(m, 2) start and stop of the runs of observed bins, s."""
        edges = np.diff(np.concatenate(([False], self.observed, [False])).astype(np.int8))
        starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        runs = np.stack([starts, stops], axis=1).astype(np.float64)
        runs *= self.width
        return runs


def captured_bins(header: Header, records: Iterable[Record]) -> CapturedBins:
    """Put a capture's records on one time line.

    Raises:
        CaptureError: it has no packet.
    """
    others: list[Record] = []

    def packets() -> Iterable[Sent]:
        for record in records:
            if isinstance(record, Sent):
                yield record
            else:
                others.append(record)

    by_number = {each.packet.sequence_number: each for each in in_order(packets())}
    if not by_number:
        raise CaptureError("the capture has no packet: there is nothing to convert")
    first, last = min(by_number), max(by_number)
    sent = [by_number.get(number) for number in range(first, last + 1)]
    n, width = len(sent), float(1 / header.rate_hz)
    counts = np.zeros((n, len(header.unit_ids)), np.uint16)
    kinematics = np.full((n, 4), np.nan)
    observed = np.zeros(n, np.bool_)
    for k, each in enumerate(sent):
        if each is not None:
            packet = each.packet
            counts[k] = packet.spike_counts
            kinematics[k] = [
                np.nan if value is None else value
                for value in (packet.vx, packet.vy, packet.x, packet.y)
            ]
            observed[k] = packet.observed
    return CapturedBins(
        header,
        width,
        counts,
        kinematics,
        observed,
        sent,
        list(_visits(header, sent, width)),
        [each for each in others if isinstance(each, Control)],
        [each for each in others if isinstance(each, Answer)],
        [each for each in others if isinstance(each, Marker)],
    )


def _visits(header: Header, sent: list[Sent | None], width: float) -> Iterable[Visit]:
    k = 0
    while k < len(sent):
        begin, first = k, sent[k]
        k += 1
        if first is None or first.packet.trial_id is None:
            continue
        previous = first
        while (
            k < len(sent) and (following := sent[k]) is not None and _goes_on(previous, following)
        ):
            previous = following
            k += 1
        yield _visit(header, begin, k, first, width)


def _goes_on(before: Sent | None, after: Sent | None) -> bool:
    if before is None or after is None:
        return False
    one, other = before.packet, after.packet
    is_next = other.packet_id == one.packet_id + 1 and other.loop == one.loop
    return is_next and other.trial_id == one.trial_id


def _visit(header: Header, begin: int, end: int, first: Sent, width: float) -> Visit:
    packet = first.packet
    row = next((t for t in header.trials if t["trial_id"] == packet.trial_id), {})
    into = (packet.trial_time_ms or 0.0) / 1000
    # Where the trial would have begun: before the visit, where that begins in its middle.
    began = begin * width - into
    start = max(began, 0.0) if into < width else begin * width
    source_start, source_stop = row.get("start_time"), row.get("stop_time")
    # Of a visit that is cut off, in the middle of its last bin: at its end is the next bin's event.
    stop = (end - 0.5) * width
    if source_start is not None and source_stop is not None:
        ended = began + source_stop - source_start
        stop = ended if (end - 1) * width < ended < end * width else stop
    moved = {}
    for name, value in row.items():
        if name in _NOT_COLUMNS:
            continue
        is_time = name.endswith("_time") and isinstance(value, int | float)
        moved[name] = (
            value - source_start + began if is_time and source_start is not None else value
        )
    moved |= {"source_trial_id": packet.trial_id, "source_start_time": source_start}
    return Visit(start, stop, moved)
