"""What sessions count and measure, as several answers show it."""

from __future__ import annotations

from typing import Annotated, Any

from phantomlink.engine.session import Session
from phantomlink.metrics import Histogram
from phantomlink.rest.records import Record, about

_MS_PER_NS = 1e-6


class Milliseconds(Record, frozen=True):
    """Durations of many packets; null where none was measured."""

    mean: float | None
    std: float | None
    p50: float | None
    p99: float | None
    max: float | None


class SlowClient(Record, frozen=True):
    """A client that is behind, or has lost packets."""

    client_id: Annotated[int, about("number of the connection, as in the log", 17)]
    queued_packets: Annotated[int, about("packets that wait for it", 3)]
    queued_bytes: Annotated[int, about("bytes that all that waits for it takes", 2100)]
    dropped_packets: Annotated[int, about("packets that it has lost", 0)]
    behind_seconds: Annotated[
        float | None,
        about("since something has been waiting for it; null when nothing is"),
    ]


class Slowness(Record, frozen=True):
    """What was lost on the way to clients that are too slow, and who is behind."""

    dropped_packets: Annotated[int, about("packets that slow clients lost, summed over clients", 0)]
    slow_clients: Annotated[
        int, about("clients that lost packets, those that have left included", 0)
    ]
    slow_clients_closed: Annotated[int, about("clients that were closed with 4408", 0)]
    slow_clients_now: Annotated[
        list[SlowClient],
        about("clients that are connected and are behind or have lost packets"),
    ]


DatasetName = Annotated[str, about("that it plays", "mc_maze_small")]
PacketsSent = Annotated[
    int, about("packets released by its playheads, each once however many listen", 1234)
]
DroppedPackets = Annotated[int, about("packets that slow clients lost, summed over clients", 0)]
TimingError = Annotated[Milliseconds, about("release of a packet minus its deadline")]
NetworkLatency = Annotated[
    Milliseconds,
    about(
        "from a packet's offer to a WebSocket client until the operating system (or the ASGI "
        "server) took it; not the way across the network"
    ),
]


def slowness_of(session: Session) -> dict[str, Any]:
    """The members of `Slowness`, by name."""
    return {
        "dropped_packets": session.counters.dropped,
        "slow_clients": session.counters.slow,
        "slow_clients_closed": session.counters.given_up,
        "slow_clients_now": [
            SlowClient(
                each.client_id,
                each.queued_packets,
                each.queued_bytes,
                each.dropped_packets,
                None if each.behind_seconds is None else round(each.behind_seconds, 3),
            )
            for each in session.counters.backlogs()
        ],
    }


def milliseconds_of(histogram: Histogram) -> Milliseconds:
    """What a histogram holds."""
    summary = histogram.summary()
    return Milliseconds(
        _ms(summary.mean_ns),
        _ms(summary.std_ns),
        _ms(summary.p50_ns),
        _ms(summary.p99_ns),
        _ms(summary.max_ns),
    )


def _ms(ns: float | None) -> float | None:
    return None if ns is None else round(ns * _MS_PER_NS, 6)
