"""What `phantomlink lsl-watch` says: for people, or as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from phantomlink.watch.figures import Arrivals
from phantomlink.watch.lsl.checks import Seen
from phantomlink.watch.lsl.facts import StreamFacts
from phantomlink.watch.lsl.figures import Spread, Steps
from phantomlink.watch.lsl.names import NEURAL
from phantomlink.watch.report import checks_view, facts_table, silence_lines
from phantomlink.watch.silence import Silence
from phantomlink.watch.verdicts import CheckResult

_LABELS_SHOWN = 6
_MARKERS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LslResult:
    """Everything that is known after watching.

    Attributes:
        code: of the session.
        seen: what the checks had.
        checks: every promise, and whether it was kept.
        samples: received, by kind of stream.
        offset_seconds: to be added to timestamps to have them in this machine's clock; None when
            it could not be measured.
        markers: timestamp and text of the first of them.
        interrupted: whether a person ended it before the time was over.
        note: why nothing came at the end; None when something did.
        silences: times without samples that were asked about.
    """

    code: str
    seen: Seen
    checks: tuple[CheckResult, ...]
    samples: Mapping[str, int]
    offset_seconds: float | None
    markers: tuple[tuple[float, str], ...]
    interrupted: bool
    note: str | None
    silences: tuple[Silence, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return all(check.passed for check in self.checks)


def result_json(result: LslResult) -> dict[str, Any]:
    """The result as one JSON-ready object."""
    seen = result.seen
    return {
        "session_code": result.code,
        "passed": result.passed,
        "interrupted": result.interrupted,
        "note": result.note,
        "streams": {
            kind: {**asdict(facts), "samples": result.samples[kind]}
            for kind, facts in seen.facts.items()
        },
        "figures": asdict(seen.figures),
        "stamps": {kind: asdict(figures) for kind, figures in seen.stamps.items()},
        "missing_beside": dict(seen.missing_beside),
        "clock_offset_ms": _milliseconds(result.offset_seconds),
        "server": None
        if seen.server is None
        else {**asdict(seen.server), "lost": seen.server.lost},
        "markers": [{"timestamp": stamp, "marker": text} for stamp, text in result.markers],
        "unknown": unknown(seen),
        "checks": [asdict(check) for check in result.checks],
        "silences": [asdict(silence) for silence in result.silences],
    }


def found_view(facts: Mapping[str, StreamFacts]) -> RenderableType:
    """What the streams say that they are."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in ("stream", "type", "channels", "format", "rate"):
        table.add_column(head, overflow="fold")
    for each in facts.values():
        rate = f"{each.nominal_rate_hz:g} Hz" if each.nominal_rate_hz > 0 else "irregular"
        table.add_row(each.name, each.type, str(each.n_channels), each.format, rate)
    said = facts_table()
    said.add_row("source ids", ", ".join(each.source_id for each in facts.values()))
    hosts = dict.fromkeys(each.hostname for each in facts.values())
    said.add_row("from", ", ".join(hosts))
    for kind, each in facts.items():
        if each.channels:
            said.add_row(kind, _channels(each))
    if NEURAL in facts:
        for name, value in _flat(facts[NEURAL].desc):
            said.add_row(name, value)
    return Group(table, Text(), said, Text())


def result_view(result: LslResult) -> RenderableType:
    """The result for a person, without what `found_view` shows."""
    parts: list[RenderableType] = [_figures_view(result), Text(), checks_view(result.checks)]
    n_failed = sum(not check.passed for check in result.checks)
    verdict = f"{len(result.checks) - n_failed} passed, {n_failed} failed"
    if result.interrupted:
        verdict += " (interrupted: this is what was seen until then)"
    parts.append(Text(verdict, style="bold red" if n_failed else "bold green"))
    parts += [Text(line, style="dim") for line in unknown(result.seen)]
    parts += silence_lines(result.silences)
    if result.note is not None:
        parts.append(Text(result.note, style="bold"))
    return Group(*parts)


def unknown(seen: Seen) -> list[str]:
    """What cannot be known from the streams, and what was done instead."""
    lines = [
        "A sample of LSL carries no packet id: losses are gaps of whole periods in the timestamps, "
        "samples that another stream of the session has, and the server's count."
    ]
    if seen.server is None:
        lines.append(
            "The server could not be asked, so a pause that ended on the grid of deadlines would "
            "look like a loss, and what was lost in all streams at once at either end is not seen."
        )
    elif not seen.server.follows:
        lines.append("The position jumped meanwhile: a seek, or bins that were not played.")
    return lines


def live_line(arrivals: Arrivals, n_markers: int | None, now_ns: int) -> Text:
    """One line for a person who watches while it goes on."""
    seconds = (now_ns - arrivals.opened_ns) / 1e9
    line = Text(f"{seconds:6.1f} s  {len(arrivals.packets_ns)} samples  ")
    line.append(f"{arrivals.recent_rate_hz(now_ns):.2f} Hz", style="bold")
    if n_markers is not None:
        line.append(f"  {n_markers} markers")
    silent_s = arrivals.silent_seconds(now_ns)
    if silent_s > 2:
        line.append(f"  no sample for {silent_s:.0f} s", style="yellow")
    return line


def _figures_view(result: LslResult) -> RenderableType:
    table, seen = facts_table(), result.seen
    figures = seen.figures
    if figures.first_packet_seconds is not None:
        table.add_row(
            "first sample", f"{figures.first_packet_seconds * 1e3:.1f} ms after the search began"
        )
    counts = ", ".join(f"{kind} {n}" for kind, n in result.samples.items())
    table.add_row("samples", f"{counts}, in {figures.span_seconds:.3f} s")
    neural = seen.stamps.get(NEURAL)
    if figures.rate_hz is not None:
        stamped = "" if neural is None else _said(neural.stamped_rate_hz, "{:.4f} Hz by timestamps")
        table.add_row("rate", f"{figures.rate_hz:.3f} Hz as received{stamped}")
    if neural is not None:
        table.add_row("interval error", _spread(neural.interval_errors))
        table.add_row("latency", f"{_spread(neural.latency)} (arrival minus timestamp)")
        table.add_row("timestamps", _steps(neural.steps))
    offset = _milliseconds(result.offset_seconds)
    table.add_row("clock offset", "not measured" if offset is None else f"{offset:+.3f} ms")
    if seen.server is not None:
        server = seen.server
        follows = "" if server.follows else ", with a jump"
        table.add_row(
            "server", f"bins {server.first_packet_id} to before {server.next_packet_id}{follows}"
        )
    if result.markers:
        shown = ", ".join(text for _, text in result.markers[:_MARKERS_SHOWN])
        more = result.samples["markers"] - _MARKERS_SHOWN
        table.add_row("markers", shown + (f" and {more} more" if more > 0 else ""))
    return table


def _steps(steps: Steps) -> str:
    said = [f"{steps.on_grid} steps of whole periods"]
    if steps.gaps:
        said.append(f"{steps.missing} periods left out in {steps.gaps} of them")
    if steps.off_grid:
        said.append(
            f"{steps.off_grid} off the grid, {steps.holds} of these long (a pause or stall)"
        )
    if steps.backwards:
        said.append(f"{steps.backwards} backwards")
    return ", ".join(said)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    return (
        f"p50 {spread.p50:.3f} ms, p95 {spread.p95:.3f}, p99 {spread.p99:.3f}, max {spread.max:.3f}"
    )


def _channels(facts: StreamFacts) -> str:
    """The labels, the first of many, and their units."""
    labels = [channel.label for channel in facts.channels]
    shown = ", ".join(labels[:_LABELS_SHOWN])
    if len(labels) > _LABELS_SHOWN:
        shown += f" ... {labels[-1]}"
    units = list(dict.fromkeys(channel.unit for channel in facts.channels if channel.unit))
    return f"{shown} ({', '.join(units)})" if units else shown


def _flat(desc: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested members as name and text."""
    lines: list[tuple[str, str]] = []
    for name, value in desc.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{before}{name}.")
        elif value:
            lines.append((f"{before}{name}", str(value)))
    return lines


def _said(value: float | None, form: str) -> str:
    return "" if value is None else ", " + form.format(value)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
