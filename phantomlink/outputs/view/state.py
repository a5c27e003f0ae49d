"""How a session stands, and how punctual it has been lately, as views are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phantomlink.engine.session import Session
from phantomlink.metrics import Histogram
from phantomlink.recordings.trials import Filter

Json = dict[str, Any]


def session_state(session: Session, wanted: Filter, n_viewers: int, *, has_ended: bool) -> Json:
    """A session now, seen from one of its playheads.

    Args:
        session: that is watched.
        wanted: the playhead's filter; where nobody listens to it, it holds at the unfiltered one.
        n_viewers: that watch the session.
        has_ended: whether that playhead has played its last bin, and nothing has begun since.
    """
    status = session.status()
    main = status.playbacks[0]
    own = next((each for each in status.playbacks if each.filter == wanted), main)
    applied = session.applied
    return {
        "is_paused": status.is_paused,
        "is_stopped": status.is_stopped,
        "is_running": status.is_running,
        "is_ended": has_ended,
        "is_playing": own.is_playing and own.filter == wanted,
        "waiting_for": own.waiting_for,
        "current_packet": own.current_packet,
        "sequence_number": own.sequence_number,
        "loop": own.loop,
        "total_packets": main.total_packets,
        "speed": float(session.speed),
        "rate_hz": float(session.rate_hz),
        "perturbation": None if applied is None else applied.perturbation.as_json(),
        "perturbation_id": None if applied is None else applied.perturbation_id,
        "seed": session.seed,
        "listeners": status.active_connections,
        "viewers": n_viewers,
        "playheads": [
            {
                "trial_id": each.filter.trial_id,
                "target_id": each.filter.target_id,
                "reach_id": each.filter.reach_id,
                "current_packet": each.current_packet,
                "listeners": each.connections,
            }
            for each in status.playbacks
            if each is not own
        ],
    }


class RecentDurations:
    """What a histogram has counted since it was asked last."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def take(self, histogram: Histogram) -> Json:
        """Percentiles in us since the last time; None where nothing was recorded."""
        buckets = histogram.buckets()
        # A playhead that has gone takes its counts along: then all there is, is new.
        news = [(edge_ns, n - self._seen.get(edge_ns, 0)) for edge_ns, n in buckets]
        if any(n < 0 for _, n in news):
            news = buckets
        self._seen = dict(buckets)
        return _percentiles([(edge_ns, n) for edge_ns, n in news if n > 0])


def _percentiles(buckets: Sequence[tuple[int, int]]) -> Json:
    count = sum(n for _, n in buckets)
    if not count:
        return {"count": 0, "p50": None, "p99": None, "max": None}

    def at(fraction: float) -> float:
        seen = 0
        for edge_ns, n in buckets:
            seen += n
            if seen >= fraction * count:
                return edge_ns / 1e3
        return buckets[-1][0] / 1e3

    return {"count": count, "p50": at(0.5), "p99": at(0.99), "max": buckets[-1][0] / 1e3}
