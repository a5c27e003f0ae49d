"""The timing report for a person to read."""

from __future__ import annotations

from phantomlink.rest.figures import SlowClient
from phantomlink.rest.playheads import PlayedFilter
from phantomlink.rest.timing_report import (
    Bucket,
    InjectedFaultTiming,
    Microseconds,
    PlayheadTiming,
    Timing,
)

_COLUMNS = ("count", "p50", "p99", "p999", "max", "mean")
_HEADER = f"{'us':28}" + "".join(f"{name:>11}" for name in _COLUMNS)
_BAR_WIDTH = 40


def timing_text(report: Timing) -> str:
    """The report, as lines."""
    lines = [
        f"Timing of session {report.session_code} ({report.dataset!r}) at {report.timestamp}",
        f"{report.packets_per_second:g} packets a second, bins of {report.bin_size_ms:g} ms,"
        f" speed {report.speed:g}",
        "",
        _HEADER,
    ]
    for playhead in report.playheads:
        lines.append(_row("lateness, " + _filter_name(playhead.filter), playhead.lateness_us))
        lines.append(_row("to the last listener", playhead.handover_us))
    server = report.server
    lines += [
        _row("send, after release", report.send_latency_us),
        _row("LSL pushes of a tick", report.lsl_push_us),
        _row("garbage collection", server.gc_pauses_us),
        "",
    ]
    for playhead in report.playheads:
        lines += _playhead_lines(playhead)
    lines += [
        "",
        f"{report.dropped_packets} packets dropped for {report.slow_clients} slow clients, "
        f"of whom {report.slow_clients_closed} were closed; "
        f"{server.gc_pauses_in_ticks} collections inside ticks",
        *(_behind_line(client) for client in report.slow_clients_now),
        "clock: " + ", ".join(f"{name} {_shown(value)}" for name, value in server.clock.items()),
        "settings: "
        + ", ".join(f"{name} {_shown(value)}" for name, value in server.settings.items()),
    ]
    for asked in server.system:
        detail = f" ({asked.detail})" if asked.detail else ""
        lines.append(f"{asked.name}: {asked.state}{detail}")
    return "\n".join(lines) + "\n"


def _playhead_lines(playhead: PlayheadTiming) -> list[str]:
    drift = playhead.drift_ppm
    lines = [
        f"{_filter_name(playhead.filter)}: {playhead.packets} packets, "
        f"{playhead.stalls} stalls, {playhead.overruns} overruns, "
        f"{playhead.anchors} anchors, drift "
        + ("not known yet" if drift is None else f"{drift:.3f} ppm")
        + f", at least {playhead.lowest_prefetch_depth_bins or 0} bins read ahead"
    ]
    lines += _injected_lines(playhead.injected)
    lines += [
        f"  {event.at} {event.kind}: {event.late_us / 1e3:.1f} ms late, "
        f"packet {event.sequence_number}"
        for event in playhead.events
    ]
    return lines + _bars(playhead.lateness_us.histogram)


def _row(name: str, durations: Microseconds) -> str:
    values = (
        durations.count,
        durations.p50,
        durations.p99,
        durations.p999,
        durations.max,
        durations.mean,
    )
    return f"{name:28}" + "".join(f"{_shown(value):>11}" for value in values)


def _shown(value: float | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if value < 1 else f"{value:.1f}"
    return str(value)


def _behind_line(client: SlowClient) -> str:
    behind = client.behind_seconds
    return (
        f"  client {client.client_id}: {client.dropped_packets} packets dropped, "
        + ("keeps up" if behind is None else f"behind for {behind:.1f} s")
        + f", {client.queued_packets} packets wait ({client.queued_bytes} bytes)"
    )


def _injected_lines(injected: InjectedFaultTiming) -> list[str]:
    counts = {
        "lost": injected.lost,
        "duplicated": injected.duplicated,
        "reordered": injected.reordered,
        "delayed": injected.delayed,
    }
    if not any(counts.values()):
        return []
    said = ", ".join(f"{n} {name}" for name, n in counts.items())
    return [f"  injected: {said}", _row("  injected delay", injected.delay_us)]


def _filter_name(wanted: PlayedFilter) -> str:
    members = (
        ("trial_id", wanted.trial_id),
        ("target_id", wanted.target_id),
        ("reach_id", wanted.reach_id),
    )
    given = [f"{name}={value}" for name, value in members if value is not None]
    return ", ".join(given) or "unfiltered"


def _bars(histogram: list[Bucket]) -> list[str]:
    """The histogram by powers of two, as bars."""
    octaves: dict[int, int] = {}
    for bucket in histogram:
        octave = max(int(bucket.up_to_us), 0).bit_length()
        octaves[octave] = octaves.get(octave, 0) + bucket.packets
    if not octaves:
        return []
    most = max(octaves.values())
    return [
        f"  < {1 << octave:>8} us {octaves.get(octave, 0):>9} "
        + "#" * -(-octaves.get(octave, 0) * _BAR_WIDTH // most)
        for octave in range(min(octaves), max(octaves) + 1)
    ]
