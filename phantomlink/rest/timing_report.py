"""What a session has measured of its timing, and with what.

Lateness is release minus deadline, release being when the packet leaves the scheduler; what comes
after is `send_latency`. What was delayed, lost or reordered on purpose is counted as that and is no
lateness. Reads counters, which is cheap enough to be polled.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.playback import Playback
from phantomlink.engine.session import Session
from phantomlink.metrics import Histogram
from phantomlink.recordings.trials import Filter
from phantomlink.rest.figures import DatasetName, Slowness, slowness_of
from phantomlink.rest.playheads import (
    InjectedFaultCounts,
    PlayedFilter,
    filter_of,
    injected_of,
)
from phantomlink.rest.records import Moment, Now, Record, SessionCode, about, iso, iso_now
from phantomlink.scheduling.clock import SystemClock
from phantomlink.service.service import Service
from phantomlink.settings import Settings


class Microseconds(Record, frozen=True):
    """Durations; null where none was measured."""

    count: Annotated[int, about("that were measured", 4000)]
    mean: float | None
    std: float | None
    p50: float | None
    p99: float | None
    p999: float | None
    max: float | None


class Bucket(Record, frozen=True):
    """One bucket of a histogram."""

    up_to_us: float
    packets: int


class Lateness(Microseconds, frozen=True):
    """Release of each packet minus when it was due, us."""

    histogram: Annotated[list[Bucket], about("buckets that hold something, ascending")]


class LateTick(Record, frozen=True):
    """A tick that went wrong."""

    kind: Literal["stall", "overrun"]
    at: Moment
    late_us: float
    sequence_number: int


class InjectedFaultTiming(InjectedFaultCounts, frozen=True):
    """Faults that were played on purpose, and are not lateness."""

    delay_us: Microseconds


class PlayheadTiming(Record, frozen=True):
    """One playhead since it was made."""

    filter: PlayedFilter
    packets: Annotated[int, about("released", 4000)]
    lateness_us: Lateness
    handover_us: Microseconds
    drift_ppm: Annotated[
        float | None,
        about("against CLOCK_MONOTONIC since the last anchor, lower envelope", 0.0),
    ]
    anchors: Annotated[int, about("times the grid of deadlines began", 1)]
    stalls: Annotated[int, about("times a tick was too late to catch up", 0)]
    overruns: Annotated[int, about("packets that were not ready when they were due", 0)]
    events: Annotated[list[LateTick], about("the latest stalls and overruns")]
    lowest_prefetch_depth_bins: Annotated[
        int | None, about("fewest bins that were ready beyond a packet that was sent", 43)
    ]
    injected: InjectedFaultTiming


class SystemTuning(Record, frozen=True):
    """What was asked of the operating system."""

    name: Annotated[str, about("what was asked of the system", "SCHED_FIFO")]
    state: Annotated[str, about(enum=["done", "off", "not permitted", "not available"])]
    detail: str


class ServerTiming(Record, frozen=True):
    """Of the process, which sessions share."""

    clock: Annotated[dict[str, Any], about("what waiting is built on")]
    gc_pauses_us: Microseconds
    gc_pauses_in_ticks: Annotated[int, about("collections that began in a tick", 0)]
    settings: Annotated[dict[str, Any], about("those that bear on timing")]
    system: list[SystemTuning]


class Timing(Slowness, frozen=True):
    """How punctual a session has been, and with what."""

    session_code: SessionCode
    dataset: DatasetName
    timestamp: Now
    bin_size_ms: Annotated[float, about(example=25.0)]
    speed: Annotated[float, about(example=1.0)]
    packets_per_second: Annotated[float, about(example=40.0)]
    playheads: Annotated[list[PlayheadTiming], about("the unfiltered one first")]
    send_latency_us: Microseconds
    lsl_push_us: Annotated[
        Microseconds, about("pushing a packet to its LSL outlets, after all other sending")
    ]
    server: ServerTiming


def timing_of(service: Service, session: Session) -> Timing:
    """The report now."""
    collector = service.collector
    return Timing(
        session_code=session.code,
        dataset=session.recording.dataset,
        timestamp=iso_now(),
        bin_size_ms=session.grid.bin_size_ms,
        speed=float(session.speed),
        packets_per_second=float(session.rate_hz),
        playheads=[_playhead(each, wanted) for wanted, each in session.playbacks().items()],
        send_latency_us=_microseconds(session.counters.latency(WEBSOCKET)),
        lsl_push_us=_microseconds(session.counters.latency("lsl")),
        **slowness_of(session),
        server=ServerTiming(
            clock=_clock(service),
            gc_pauses_us=_microseconds(collector.pauses),
            gc_pauses_in_ticks=collector.in_tick,
            settings=_settings(service.settings),
            system=[SystemTuning(each.name, each.state, each.detail) for each in service.tuning],
        ),
    )


def _playhead(playback: Playback, wanted: Filter) -> PlayheadTiming:
    counters = playback.timing
    buckets = [Bucket(edge_ns / 1e3, n) for edge_ns, n in counters.lateness.buckets()]
    return PlayheadTiming(
        filter=filter_of(wanted),
        packets=counters.packets,
        lateness_us=Lateness(**_figures(counters.lateness), histogram=buckets),
        handover_us=_microseconds(counters.handover),
        drift_ppm=counters.drift.ppm,
        anchors=counters.anchors,
        stalls=counters.stalls,
        overruns=counters.overruns,
        events=[
            LateTick(
                event.kind.value,
                iso(datetime.fromtimestamp(event.at_seconds, UTC)),
                event.late_ns / 1e3,
                event.sequence_number,
            )
            for event in counters.events
        ],
        lowest_prefetch_depth_bins=counters.lowest_depth,
        injected=InjectedFaultTiming(
            **injected_of(counters.injected), delay_us=_microseconds(counters.injected.delays)
        ),
    )


def _clock(service: Service) -> dict[str, Any]:
    clock = service.clock
    if not isinstance(clock, SystemClock):
        return {"source": "other"}
    return {
        "source": clock.source,
        "wake_margin_us": clock.margin.margin_ns / 1e3,
        "lead_limit_us": clock.governor.cap_ns / 1e3,
        "spin_share": clock.governor.last_share,
        "spin_share_allowed": clock.governor.share,
    }


def _settings(settings: Settings) -> dict[str, Any]:
    """Those that bear on timing."""
    cpus = settings.cpu_affinity
    return {
        "stream_frequency_hz": float(settings.stream_frequency_hz),
        "loop": settings.loop,
        "spin_share": settings.spin_share,
        "realtime": settings.realtime,
        "cpu_affinity": None if cpus is None else ",".join(map(str, sorted(cpus))),
    }


def _microseconds(histogram: Histogram) -> Microseconds:
    return Microseconds(**_figures(histogram))


def _figures(histogram: Histogram) -> dict[str, Any]:
    """The members of `Microseconds`, by name."""
    figures = asdict(histogram.summary())
    microseconds = {
        name.removesuffix("_ns"): None if value is None else round(value / 1e3, 3)
        for name, value in figures.items()
        if name != "count"
    }
    return {"count": figures["count"], **microseconds}
