"""`/api/stats`: figures of one session, and of all together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.session import Session
from phantomlink.rest.figures import (
    DatasetName,
    DroppedPackets,
    NetworkLatency,
    PacketsSent,
    Slowness,
    TimingError,
    milliseconds_of,
    slowness_of,
)
from phantomlink.rest.playheads import (
    CurrentPacket,
    FilteredPlayheads,
    InjectedFaultCounts,
    IsPlaying,
    Overruns,
    Stalls,
    TotalPackets,
    WaitingFor,
    filtered_of,
    injected_of,
    playhead_of,
    seconds_of,
)
from phantomlink.rest.process_memory import MemoryUsageMb, memory_usage_mb
from phantomlink.rest.records import Record, SessionCode, about
from phantomlink.rest.request import Request
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import OfSession
from phantomlink.rest.session_turns import of_each

TAG = "server"


class Stats(Slowness, frozen=True):
    """Of the unfiltered playhead, the others beside it.

    packets_sent, dropped_packets and active_connections are of all.
    """

    session_code: SessionCode
    dataset: DatasetName
    is_running: Annotated[bool, about("somebody listens and it was not stopped")]
    is_paused: bool
    is_playing: IsPlaying
    waiting_for: WaitingFor
    current_packet: CurrentPacket
    total_packets: TotalPackets
    elapsed_seconds: Annotated[float, about("stream time: packets released by their width", 30.85)]
    active_connections: Annotated[int, about(example=1)]
    packets_sent: PacketsSent
    stalls: Stalls
    overruns: Overruns
    injected: InjectedFaultCounts
    timing_error_ms: TimingError
    network_latency_ms: NetworkLatency
    filtered: FilteredPlayheads


class Totals(Record, frozen=True):
    """Over the sessions that there are."""

    total_sessions: Annotated[int, about(example=2)]
    active_sessions: Annotated[int, about("sessions that somebody listens to", 1)]
    active_connections: Annotated[int, about(example=1)]
    max_sessions: Annotated[int, about("that the server was told to allow", 10)]
    packets_sent: PacketsSent
    dropped_packets: DroppedPackets
    stalls: Stalls
    overruns: Overruns
    memory_usage_mb: MemoryUsageMb


@route("GET", "/api/stats", TAG)
async def show_totals(request: Request) -> Totals:
    """Figures of all sessions together."""
    registry = request.service.registry
    tallies = await of_each(registry, tally)
    return totals(tallies.values(), max_sessions=registry.max_sessions)


@route("GET", "/api/stats/{code}", TAG)
async def show(request: Request, path: OfSession) -> Stats:
    """Figures of one session."""
    return stats_of(request.session(path.code))


def stats_of(session: Session) -> Stats:
    """The figures of a session now."""
    status, grid = session.status(), session.grid
    main = status.playbacks[0]
    injected = session.main.timing.injected
    return Stats(
        session_code=status.code,
        dataset=session.recording.dataset,
        is_running=status.is_running,
        is_paused=status.is_paused,
        **playhead_of(main),
        # What was lost on purpose took its time too.
        elapsed_seconds=seconds_of(grid, main.packets + injected.lost),
        active_connections=status.active_connections,
        packets_sent=session.counters.packets,
        **slowness_of(session),
        stalls=main.stalls,
        overruns=main.overruns,
        injected=InjectedFaultCounts(**injected_of(injected)),
        timing_error_ms=milliseconds_of(session.main.timing.lateness),
        network_latency_ms=milliseconds_of(session.counters.latency(WEBSOCKET)),
        filtered=filtered_of(status.playbacks, grid),
    )


@dataclass(frozen=True, slots=True)
class Tally:
    """What one session adds to the totals."""

    listeners: int
    packets: int
    dropped: int
    stalls: int
    overruns: int


def tally(session: Session) -> Tally:
    """The counts of one session."""
    # Not from its status, which would say, and cost, more: this is asked of every session.
    timings = [playback.timing for playback in session.playbacks().values()]
    return Tally(
        session.n_listening,
        session.counters.packets,
        session.counters.dropped,
        sum(timing.stalls for timing in timings),
        sum(timing.overruns for timing in timings),
    )


def totals(tallies: Iterable[Tally], *, max_sessions: int) -> Totals:
    """The counts of all sessions together."""
    each = list(tallies)
    return Totals(
        total_sessions=len(each),
        active_sessions=sum(tally.listeners > 0 for tally in each),
        active_connections=sum(tally.listeners for tally in each),
        max_sessions=max_sessions,
        packets_sent=sum(tally.packets for tally in each),
        dropped_packets=sum(tally.dropped for tally in each),
        stalls=sum(tally.stalls for tally in each),
        overruns=sum(tally.overruns for tally in each),
        memory_usage_mb=memory_usage_mb(),
    )


ROUTES = (show_totals, show)
