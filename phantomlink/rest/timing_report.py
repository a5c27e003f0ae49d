"""`GET /api/sessions/{code}/timing`: what a session has measured of its timing, and with what.

Pure: reads counters, which is cheap enough to be polled. Lateness is release minus deadline,
release being when the packet leaves the scheduler; what comes after is `send_latency`. What was
delayed, lost or reordered on purpose is counted as that and is no lateness.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.playback import Playback
from phantomlink.engine.session import Session
from phantomlink.metrics import Histogram
from phantomlink.rest.views import filter_json, injected, iso, slowness
from phantomlink.scheduling.clock import SystemClock
from phantomlink.service.service import Service

Json = dict[str, Any]

# Those that bear on timing.
_SETTINGS = ("stream_frequency_hz", "loop", "spin_share", "realtime", "cpu_affinity")


def timing(service: Service, session: Session) -> Json:
    """The report as JSON; durations in microseconds."""
    collector = service.collector
    return {
        "session_code": session.code,
        "timestamp": iso(datetime.now(UTC)),
        "bin_size_ms": session.grid.bin_size_ms,
        "speed": float(session.speed),
        "packets_per_second": float(session.rate_hz),
        "playheads": [
            _playhead(playback, filter_json(wanted))
            for wanted, playback in session.playbacks().items()
        ],
        "send_latency_us": _durations(session.counters.latency(WEBSOCKET)),
        "lsl_push_us": _durations(session.counters.latency("lsl")),
        **slowness(session),
        "server": {
            "clock": _clock(service),
            "gc_pauses_us": _durations(collector.pauses),
            "gc_pauses_in_ticks": collector.in_tick,
            "settings": {name: _setting(getattr(service.settings, name)) for name in _SETTINGS},
            "system": [
                {"name": tuning.name, "state": tuning.state, "detail": tuning.detail}
                for tuning in service.tuning
            ],
        },
    }


def _playhead(playback: Playback, wanted: Json) -> Json:
    counters = playback.timing
    return {
        "filter": wanted,
        "packets": counters.packets,
        "lateness_us": _durations(counters.lateness)
        | {
            "histogram": [
                {"up_to_us": edge_ns / 1e3, "packets": n}
                for edge_ns, n in counters.lateness.buckets()
            ]
        },
        "handover_us": _durations(counters.handover),
        "drift_ppm": counters.drift.ppm,
        "anchors": counters.anchors,
        "stalls": counters.stalls,
        "overruns": counters.overruns,
        "events": [
            {
                "kind": event.kind.value,
                "at": iso(datetime.fromtimestamp(event.at_seconds, UTC)),
                "late_us": event.late_ns / 1e3,
                "sequence_number": event.sequence_number,
            }
            for event in counters.events
        ],
        "lowest_prefetch_depth_bins": counters.lowest_depth,
        "injected": injected(counters.injected)
        | {"delay_us": _durations(counters.injected.delays)},
    }


def _clock(service: Service) -> Json:
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


def _setting(value: object) -> float | bool | str | None:
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, frozenset):
        return ",".join(map(str, sorted(value)))
    return value if isinstance(value, float | bool) else None


def _durations(histogram: Histogram) -> Json:
    summary = histogram.summary()
    nanoseconds = {
        "mean": summary.mean_ns,
        "std": summary.std_ns,
        "p50": summary.p50_ns,
        "p99": summary.p99_ns,
        "p999": summary.p999_ns,
        "max": summary.max_ns,
    }
    microseconds = {
        name: None if value is None else round(value / 1e3, 3)
        for name, value in nanoseconds.items()
    }
    return {"count": summary.count} | microseconds


def timing_text(report: Json) -> str:
    """The report for a person to read."""
    lines = [
        f"Timing of session {report['session_code']} at {report['timestamp']}",
        f"{report['packets_per_second']:g} packets a second, bins of {report['bin_size_ms']:g} ms,"
        f" speed {report['speed']:g}",
        "",
        _HEADER,
    ]
    for playhead in report["playheads"]:
        name = _filter_name(playhead["filter"])
        lines.append(_row("lateness, " + name, playhead["lateness_us"]))
        lines.append(_row("to the last listener", playhead["handover_us"]))
    lines += [
        _row("send, after release", report["send_latency_us"]),
        _row("LSL pushes of a tick", report["lsl_push_us"]),
        _row("garbage collection", report["server"]["gc_pauses_us"]),
        "",
    ]
    for playhead in report["playheads"]:
        drift = playhead["drift_ppm"]
        lines.append(
            f"{_filter_name(playhead['filter'])}: {playhead['packets']} packets, "
            f"{playhead['stalls']} stalls, {playhead['overruns']} overruns, "
            f"{playhead['anchors']} anchors, drift "
            + ("not known yet" if drift is None else f"{drift:.3f} ppm")
            + f", at least {playhead['lowest_prefetch_depth_bins'] or 0} bins read ahead"
        )
        lines += _injected_lines(playhead["injected"])
        for event in playhead["events"]:
            lines.append(
                f"  {event['at']} {event['kind']}: {event['late_us'] / 1e3:.1f} ms late, "
                f"packet {event['sequence_number']}"
            )
        lines += _bars(playhead["lateness_us"]["histogram"])
    server = report["server"]
    clock = ", ".join(f"{name} {_shown(value)}" for name, value in server["clock"].items())
    lines += [
        "",
        f"{report['dropped_packets']} packets dropped for {report['slow_clients']} slow clients, "
        f"of whom {report['slow_clients_closed']} were closed; "
        f"{server['gc_pauses_in_ticks']} collections inside ticks",
        *(_behind_line(client) for client in report["slow_clients_now"]),
        f"clock: {clock}",
    ]
    settings = ", ".join(f"{name} {_shown(value)}" for name, value in server["settings"].items())
    lines.append(f"settings: {settings}")
    for asked in server["system"]:
        detail = f" ({asked['detail']})" if asked["detail"] else ""
        lines.append(f"{asked['name']}: {asked['state']}{detail}")
    return "\n".join(lines) + "\n"


_COLUMNS = ("count", "p50", "p99", "p999", "max", "mean")
_HEADER = f"{'us':28}" + "".join(f"{name:>11}" for name in _COLUMNS)
_BAR_WIDTH = 40


def _row(name: str, durations: Json) -> str:
    return f"{name:28}" + "".join(f"{_shown(durations[column]):>11}" for column in _COLUMNS)


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1 else f"{value:.1f}"
    return str(value)


def _behind_line(client: Json) -> str:
    behind = client["behind_seconds"]
    return (
        f"  client {client['client_id']}: {client['dropped_packets']} packets dropped, "
        + ("keeps up" if behind is None else f"behind for {behind:.1f} s")
        + f", {client['queued_packets']} packets wait ({client['queued_bytes']} bytes)"
    )


def _injected_lines(injected: Json) -> list[str]:
    counts = {name: n for name, n in injected.items() if name != "delay_us"}
    if not any(counts.values()):
        return []
    said = ", ".join(f"{n} {name}" for name, n in counts.items())
    return [f"  injected: {said}", _row("  injected delay", injected["delay_us"])]


def _filter_name(wanted: Json) -> str:
    given = [f"{name}={value}" for name, value in wanted.items() if value is not None]
    return ", ".join(given) or "unfiltered"


def _bars(histogram: list[Json]) -> list[str]:
    """The histogram by powers of two, as bars."""
    octaves: dict[int, int] = {}
    for bucket in histogram:
        octave = max(int(bucket["up_to_us"]), 0).bit_length()
        octaves[octave] = octaves.get(octave, 0) + bucket["packets"]
    if not octaves:
        return []
    most = max(octaves.values())
    return [
        f"  < {1 << octave:>8} us {octaves.get(octave, 0):>9} "
        + "#" * -(-octaves.get(octave, 0) * _BAR_WIDTH // most)
        for octave in range(min(octaves), max(octaves) + 1)
    ]
