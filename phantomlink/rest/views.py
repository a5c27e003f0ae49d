"""What the answers say: dicts ready for JSON, from the service and its sessions. Pure.

Durations are seconds unless a name says `_ms`, times are ISO 8601 UTC. A figure that was not
measured is None, never 0. The polled ones (health, position, stats, metrics) only read counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import psutil

from phantomlink import __version__
from phantomlink.engine.counters import WEBSOCKET, InjectedFaults
from phantomlink.engine.session import REAL_TIME, Session
from phantomlink.engine.session_codes import is_private
from phantomlink.engine.status import PlaybackStatus, SessionStatus
from phantomlink.metrics import Histogram
from phantomlink.perturbation import Perturbation
from phantomlink.recordings.contents import SeriesInfo
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.recording import Recording
from phantomlink.recordings.trials import Filter, Trial
from phantomlink.service.service import Service

Json = dict[str, Any]

_MS_PER_NS = 1e-6
_PROCESS = psutil.Process()


def iso(moment: datetime) -> str:
    """A time as ISO 8601 UTC, in milliseconds, with Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def health(service: Service) -> Json:
    """`GET /health`: an active session is one that somebody listens to."""
    listeners = [session.n_listening for session in service.registry]
    return {
        "status": "healthy",
        "version": __version__,
        "timestamp": iso(datetime.now(UTC)),
        "active_sessions": sum(n > 0 for n in listeners),
        "active_connections": sum(listeners),
    }


def recording_metadata(service: Service, session: Session | None = None) -> Json:
    """`GET /api/metadata`: the recording, and how it is played.

    Args:
        service: the running service.
        session: that plays it; None for a new one.

    Raises:
        UnavailableError: no recording is open.
    """
    recording, info, behaviour = (
        service.recording,
        service.recording.info,
        service.recording.behaviour,
    )
    trials = recording.trials
    return _basics(service, session) | {
        "t0_seconds": recording.t0_seconds,
        "last_event_seconds": recording.last_event_seconds,
        "num_spikes": recording.n_spikes,
        "unit_ids": list(recording.unit_ids),
        "unit_labels": _unit_labels(recording),
        "behaviour": {
            "position": _series(behaviour.position),
            "velocity": _series(behaviour.velocity),
            "found": [series.as_json() for series in behaviour.found],
        },
        "target_ids": list(trials.target_ids),
        "reaches": [
            {"reach_id": reach.reach_id, "x": reach.x, "y": reach.y, "num_trials": reach.n_trials}
            for reach in trials.reaches
        ],
        "missing": list(recording.missing),
        "sha256": service.sha256,
        "file_name": recording.path.name,
        "identifier": info.identifier,
        "session_description": info.session_description,
        "session_id": info.session_id,
        "session_start_time": info.session_start_time,
        "subject": info.subject,
        "species": info.species,
        "lab": info.lab,
        "institution": info.institution,
        "keywords": list(info.keywords),
        "nwb_version": info.nwb_version,
    }


def _unit_labels(recording: Recording) -> list[str] | None:
    labels = recording.units.labels
    return None if labels is None else list(labels)


def stream_metadata(service: Service, session: Session) -> Json:
    """The `data` of a WebSocket's first message, without the snapshot of a packet.

    No name here is one of a packet's.

    Raises:
        UnavailableError: no recording is open.
    """
    recording, header = service.recording, session.parts.encoders.header
    position, velocity = recording.behaviour.position, recording.behaviour.velocity
    return _basics(service, session) | {
        "channel_count": header.n_channels,
        "channel_ids": header.channel_ids,
        "unit_ids": list(recording.unit_ids),
        "unit_labels": _unit_labels(recording),
        "kinematics_units": {
            "vx": _unit(velocity),
            "vy": _unit(velocity),
            "x": _unit(position),
            "y": _unit(position),
        },
        "t0_seconds": recording.t0_seconds,
        "is_paused": session.is_paused,
        "server_version": __version__,
    }


def session_created(session: Session, *, created: bool, base_url: str) -> Json:
    """`POST /api/sessions/create`; `base_url` is that of WebSockets, as the client sees it."""
    return {
        "session_code": session.code,
        "stream_url": f"{base_url}/stream/{session.code}",
        "created_at": iso(session.created_at),
        "created": created,
        "is_private": is_private(session.code),
        **_pace(session),
        **outputs(session),
        **_perturbation(session),
    }


def session_json(session: Session) -> Json:
    """`GET /api/sessions/{code}`."""
    status, grid = session.status(), _grid(session)
    main = status.playbacks[0]
    return {
        "session_code": status.code,
        "is_private": is_private(status.code),
        "created_at": iso(status.created_at),
        "last_accessed": iso(status.last_accessed),
        "active_connections": status.active_connections,
        "is_running": status.is_running,
        "is_paused": status.is_paused,
        "is_stopped": status.is_stopped,
        "is_playing": main.is_playing,
        "waiting_for": main.waiting_for,
        "current_packet": main.current_packet,
        "total_packets": main.total_packets,
        "position_seconds": _seconds(grid, main.current_packet),
        **_pace(session),
        "filtered": _filtered(status, grid),
        **outputs(session),
        **_perturbation(session),
    }


def outputs(session: Session) -> Json:
    """What the session's outputs say of themselves, each under its kind."""
    said = {output.kind: output.as_json() for output in session.outputs}
    return {kind: json for kind, json in said.items() if json is not None}


def position(session: Session) -> Json:
    """`GET /api/control/{code}/position`: of the unfiltered playhead, the others beside it."""
    status, grid = session.status(), _grid(session)
    main = status.playbacks[0]
    return {
        "session_code": status.code,
        "position_seconds": _seconds(grid, main.current_packet),
        "current_packet": main.current_packet,
        "duration_seconds": grid.duration_seconds,
        "total_packets": main.total_packets,
        "is_playing": main.is_playing,
        "waiting_for": main.waiting_for,
        "is_paused": status.is_paused,
        "is_stopped": status.is_stopped,
        "sequence_number": main.sequence_number,
        "loop": main.loop,
        "filtered": _filtered(status, grid),
    }


def sought(session: Session) -> Json:
    """`POST /api/control/{code}/seek`: the first packet that it affects."""
    packet_id = session.main.playhead.bin_index
    return {
        "status": "seeked",
        "session_code": session.code,
        "packet_id": packet_id,
        "position_seconds": _seconds(_grid(session), packet_id),
    }


def paced(session: Session) -> Json:
    """`POST /api/control/{code}/speed`: the first packet that it affects."""
    return {
        "status": "paced",
        "session_code": session.code,
        "packet_id": session.main.playhead.bin_index,
        **_pace(session),
    }


def stats(session: Session) -> Json:
    """`GET /api/stats/{code}`: of the unfiltered playhead, the others beside it."""
    status, grid = session.status(), _grid(session)
    main = status.playbacks[0]
    return {
        "session_code": status.code,
        "is_running": status.is_running,
        "is_paused": status.is_paused,
        "is_playing": main.is_playing,
        "waiting_for": main.waiting_for,
        "current_packet": main.current_packet,
        "total_packets": main.total_packets,
        # What was lost on purpose took its time too.
        "elapsed_seconds": _seconds(grid, main.packets + session.main.timing.injected.lost),
        "active_connections": status.active_connections,
        "packets_sent": session.counters.packets,
        **slowness(session),
        "stalls": main.stalls,
        "overruns": main.overruns,
        "injected": injected(session.main.timing.injected),
        "timing_error_ms": _milliseconds(session.main.timing.lateness),
        "network_latency_ms": _milliseconds(session.counters.latency(WEBSOCKET)),
        "filtered": _filtered(status, grid),
    }


def slowness(session: Session) -> Json:
    """What was lost on the way to clients that are too slow, and who is behind."""
    return {
        "dropped_packets": session.counters.dropped,
        "slow_clients": session.counters.slow,
        "slow_clients_closed": session.counters.given_up,
        "slow_clients_now": [
            {
                "client_id": each.client_id,
                "queued_packets": each.queued_packets,
                "queued_bytes": each.queued_bytes,
                "dropped_packets": each.dropped_packets,
                "behind_seconds": None
                if each.behind_seconds is None
                else round(each.behind_seconds, 3),
            }
            for each in session.counters.backlogs()
        ],
    }


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


def totals(tallies: Sequence[Tally], *, max_sessions: int) -> Json:
    """`GET /api/stats`: over the sessions that there are."""
    return {
        "total_sessions": len(tallies),
        "active_sessions": sum(tally.listeners > 0 for tally in tallies),
        "active_connections": sum(tally.listeners for tally in tallies),
        "max_sessions": max_sessions,
        "packets_sent": sum(tally.packets for tally in tallies),
        "dropped_packets": sum(tally.dropped for tally in tallies),
        "stalls": sum(tally.stalls for tally in tallies),
        "overruns": sum(tally.overruns for tally in tallies),
        "memory_usage_mb": memory_usage_mb(),
    }


def metrics(sessions: Mapping[str, Json]) -> Json:
    """`GET /metrics` as JSON.

    Args:
        sessions: what `session_metrics` says of each session, by code.
    """
    connections = [session["connections"] for session in sessions.values()]
    return {
        "timestamp": iso(datetime.now(UTC)),
        "service": "phantomlink",
        "version": __version__,
        "metrics": {
            "total_sessions": len(sessions),
            "active_sessions": sum(n > 0 for n in connections),
            "total_connections": sum(connections),
            "sessions": sessions,
        },
    }


def session_metrics(session: Session, memory_mb: float) -> Json:
    """What `metrics` says of one session; `memory_mb` is the process's."""
    return {
        "packets_sent": session.counters.packets,
        "dropped_packets": session.counters.dropped,
        "network_latency_ms": _milliseconds(session.counters.latency(WEBSOCKET)),
        "timing_error_ms": _milliseconds(session.main.timing.lateness),
        "memory_usage_mb": memory_mb,
        "is_running": session.is_running,
        "is_paused": session.is_paused,
        "connections": session.n_listening,
    }


def trials_json(trials: Sequence[Trial]) -> Iterable[Json]:
    """Trials as clients get them, one by one: there may be thousands."""
    return (trial.as_json() for trial in trials)


def memory_usage_mb() -> float:
    """Resident memory of the whole process, MB: sessions share all that is large."""
    rss_bytes: int = _PROCESS.memory_info().rss
    return round(rss_bytes / 1e6, 3)


def _basics(service: Service, session: Session | None) -> Json:
    """What both descriptions of the recording begin with; of a new session where there is none."""
    recording = service.recording
    grid = service.bins.grid if session is None else _grid(session)
    rate_hz, speed = (
        (service.rate_hz, REAL_TIME) if session is None else (session.rate_hz, session.speed)
    )
    registry = service.registry
    if session is None:
        done: Perturbation | None = registry.perturbation
        seed = registry.seed
    else:
        done = None if session.applied is None else session.applied.perturbation
        seed = session.seed
    return {
        "dataset": recording.dataset,
        "num_channels": len(recording.unit_ids),
        "duration_seconds": grid.duration_seconds,
        "total_packets": grid.n_bins,
        "frequency_hz": _number(rate_hz),
        "bin_size_ms": grid.bin_size_ms,
        "speed": _number(speed),
        "num_trials": len(recording.trials),
        "is_synthetic": recording.info.is_synthetic,
        "perturbation": None if done is None or done.is_identity else done.as_json(),
        "seed": seed,
    }


def perturbation(session: Session) -> Json:
    """`GET /api/sessions/{code}/perturbation`."""
    return {"session_code": session.code, **_perturbation(session)}


def perturbed(session: Session, packet_id: int) -> Json:
    """`PUT` and `DELETE` of a perturbation: what there is now, from this packet on."""
    return {
        "status": "perturbed" if session.applied else "clean",
        "packet_id": packet_id,
        **perturbation(session),
    }


def injected(faults: InjectedFaults) -> Json:
    """Faults of transport that were played on purpose."""
    return {
        "lost": faults.lost,
        "duplicated": faults.duplicated,
        "reordered": faults.reordered,
        "delayed": faults.delays.count,
    }


def _perturbation(session: Session) -> Json:
    applied = session.applied
    return {
        "perturbation": None if applied is None else applied.perturbation.as_json(),
        "perturbation_id": None if applied is None else applied.perturbation_id,
        "seed": session.seed,
    }


def _pace(session: Session) -> Json:
    return {
        "bin_size_ms": _grid(session).bin_size_ms,
        "speed": _number(session.speed),
        "frequency_hz": _number(session.rate_hz),
    }


def _filtered(status: SessionStatus, grid: BinGrid) -> list[Json]:
    return [_playhead(playback, grid) for playback in status.playbacks[1:]]


def _playhead(playback: PlaybackStatus, grid: BinGrid) -> Json:
    return {
        "filter": filter_json(playback.filter),
        "current_packet": playback.current_packet,
        "position_seconds": _seconds(grid, playback.current_packet),
        "total_packets": playback.total_packets,
        "sequence_number": playback.sequence_number,
        "loop": playback.loop,
        "active_connections": playback.connections,
        "is_playing": playback.is_playing,
        "waiting_for": playback.waiting_for,
        "packets_sent": playback.packets,
        "stalls": playback.stalls,
        "overruns": playback.overruns,
    }


def filter_json(wanted: Filter) -> Json:
    """What a playhead plays."""
    return {
        "trial_id": wanted.trial_id,
        "target_id": wanted.target_id,
        "reach_id": wanted.reach_id,
    }


def _grid(session: Session) -> BinGrid:
    return session.grid


def _seconds(grid: BinGrid, n_bins: int) -> float:
    return n_bins * grid.rate_hz.denominator / grid.rate_hz.numerator


def _series(series: SeriesInfo | None) -> Json | None:
    return None if series is None else dict(series.as_json())


def _unit(series: SeriesInfo | None) -> str | None:
    return None if series is None else series.unit or None


def _milliseconds(histogram: Histogram) -> Json:
    """What a histogram holds, in ms; each is None while it holds nothing."""
    summary = histogram.summary()
    return {
        "mean": _ms(summary.mean_ns),
        "std": _ms(summary.std_ns),
        "p50": _ms(summary.p50_ns),
        "p99": _ms(summary.p99_ns),
        "max": _ms(summary.max_ns),
    }


def _ms(ns: float | None) -> float | None:
    return None if ns is None else round(ns * _MS_PER_NS, 6)


def _number(value: Fraction) -> int | float:
    """A whole rate as a whole number: clients with types read it as either."""
    return value.numerator if value.denominator == 1 else float(value)
