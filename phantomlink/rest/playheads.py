"""A session and its playheads, as several answers show them."""

from __future__ import annotations

from typing import Annotated, Any

from phantomlink.engine.counters import InjectedFaults
from phantomlink.engine.session import Session
from phantomlink.engine.status import PlaybackStatus
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.trials import Filter
from phantomlink.rest.records import PositionSeconds, Record, about, number

CurrentPacket = Annotated[int, about("packet_id of the next packet", 1234)]
TotalPackets = Annotated[int, about("bins that it plays before it wraps", 11747)]
IsPlaying = Annotated[bool, about("it advances now")]
WaitingFor = Annotated[
    str | None,
    about(
        "why it does not although it should: the recording cannot be read",
        "mc_maze.nwb: no such file",
    ),
]
SequenceNumber = Annotated[int, about("of the next packet", 87)]
Loop = Annotated[int, about("times it has wrapped", 0)]
Stalls = Annotated[int, about("times a tick was too late to catch up, so the others moved", 0)]
Overruns = Annotated[int, about("packets that were not ready when they were due", 0)]


TrialsOnly = Annotated[
    Annotated[int, about(minimum=0)] | None, about("only the bins of matching trials")
]


class WantedTrials(Record, frozen=True):
    """Of which trials; what is null does not matter."""

    trial_id: TrialsOnly = None
    target_id: TrialsOnly = None
    reach_id: TrialsOnly = None

    @property
    def filter(self) -> Filter:
        """As a playhead takes it."""
        return Filter(self.trial_id, self.target_id, self.reach_id)


class PlayedFilter(Record, frozen=True):
    """What is null does not matter."""

    trial_id: int | None
    target_id: int | None
    reach_id: int | None


class FilteredPlayhead(Record, frozen=True):
    """A playhead over the bins that a filter lets through."""

    filter: PlayedFilter
    current_packet: CurrentPacket
    total_packets: TotalPackets
    is_playing: IsPlaying
    waiting_for: WaitingFor
    position_seconds: PositionSeconds
    sequence_number: SequenceNumber
    loop: Loop
    active_connections: Annotated[int, about("its listeners", 1)]
    packets_sent: Annotated[int, about("packets released", 87)]
    stalls: Stalls
    overruns: Overruns


FilteredPlayheads = Annotated[list[FilteredPlayhead], about("the playheads of the filters in use")]


class InjectedFaultCounts(Record, frozen=True):
    """Faults that were played on purpose."""

    lost: Annotated[int, about("packets that nobody was given", 0)]
    duplicated: Annotated[int, about("packets that everybody was given twice", 0)]
    reordered: Annotated[int, about("packets that left after their successor", 0)]
    delayed: Annotated[int, about("packets that left after their deadline", 0)]


def seconds_of(grid: BinGrid, n_bins: int) -> float:
    """How long so many bins last."""
    return n_bins * grid.rate_hz.denominator / grid.rate_hz.numerator


def pace_of(session: Session) -> dict[str, Any]:
    """Width of a session's bins, its speed and its rate, by name."""
    return {
        "bin_size_ms": session.grid.bin_size_ms,
        "speed": number(session.speed),
        "frequency_hz": number(session.rate_hz),
    }


def perturbation_of(session: Session) -> dict[str, Any]:
    """What is done to a session's packets, its id and its seed, by name."""
    applied = session.applied
    return {
        "perturbation": None if applied is None else applied.perturbation.as_json(),
        "perturbation_id": None if applied is None else applied.perturbation_id,
        "seed": session.seed,
    }


def playhead_of(status: PlaybackStatus) -> dict[str, Any]:
    """What every answer about a playhead says, by name."""
    return {
        "current_packet": status.current_packet,
        "total_packets": status.total_packets,
        "is_playing": status.is_playing,
        "waiting_for": status.waiting_for,
    }


def filter_of(wanted: Filter) -> PlayedFilter:
    """What a playhead plays."""
    return PlayedFilter(wanted.trial_id, wanted.target_id, wanted.reach_id)


def filtered_of(playbacks: tuple[PlaybackStatus, ...], grid: BinGrid) -> list[FilteredPlayhead]:
    """The filtered playheads of a session, of all its playheads."""
    return [
        FilteredPlayhead(
            filter=filter_of(each.filter),
            **playhead_of(each),
            position_seconds=seconds_of(grid, each.current_packet),
            sequence_number=each.sequence_number,
            loop=each.loop,
            active_connections=each.connections,
            packets_sent=each.packets,
            stalls=each.stalls,
            overruns=each.overruns,
        )
        for each in playbacks[1:]
    ]


def injected_of(faults: InjectedFaults) -> dict[str, int]:
    """The members of `InjectedFaultCounts`, by name."""
    return {
        "lost": faults.lost,
        "duplicated": faults.duplicated,
        "reordered": faults.reordered,
        "delayed": faults.delays.count,
    }
