"""What a watching found, for a person or as JSON. Pure: it makes what others print."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from phantomlink.watch.contract import PACKET_FORM, PACKET_PARTS
from phantomlink.watch.figures import Arrivals, Figures
from phantomlink.watch.silence import Silence
from phantomlink.watch.target import Target
from phantomlink.watch.verdicts import CheckResult, Closed

_SNAPSHOT = {*PACKET_FORM, *PACKET_PARTS}
_WIDTH = 96


@dataclass(frozen=True, slots=True)
class WatchResult:
    """Everything that is known after watching.

    Attributes:
        target: what was watched.
        metadata: the `data` of the first message; None where there was none.
        figures: what was measured.
        checks: every promise, and whether it was kept.
        closed: how the server ended it; None when it did not.
        interrupted: whether a person did, before the time was over.
        note: why there was nothing to see at the end; None when there was.
        silences: times without packets that were asked about.
    """

    target: Target
    metadata: Mapping[str, Any] | None
    figures: Figures
    checks: tuple[CheckResult, ...]
    closed: Closed | None
    interrupted: bool
    note: str | None
    silences: tuple[Silence, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return all(check.passed for check in self.checks)


def result_json(result: WatchResult) -> dict[str, Any]:
    """The result as one JSON-ready object."""
    return {
        "target": result.target.url,
        "session_code": result.target.code,
        "passed": result.passed,
        "interrupted": result.interrupted,
        "note": result.note,
        "metadata": None if result.metadata is None else stream_facts(result.metadata),
        "figures": asdict(result.figures),
        "checks": [asdict(check) for check in result.checks],
        "closed": None if result.closed is None else asdict(result.closed),
        "silences": [asdict(silence) for silence in result.silences],
    }


def stream_facts(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata without the snapshot of a packet that it also holds."""
    return {name: value for name, value in metadata.items() if name not in _SNAPSHOT}


def result_view(result: WatchResult) -> RenderableType:
    """The result for a person."""
    parts: list[RenderableType] = [summary_view(result.target, result.metadata), Text()]
    parts += [_figures_view(result.figures), Text(), checks_view(result.checks)]
    n_failed = sum(not check.passed for check in result.checks)
    verdict = f"{len(result.checks) - n_failed} passed, {n_failed} failed"
    if result.interrupted:
        verdict += " (interrupted: this is what was seen until then)"
    parts.append(Text(verdict, style="bold red" if n_failed else "bold green"))
    parts += silence_lines(result.silences)
    if result.note is not None:
        parts.append(Text(result.note, style="bold"))
    return Group(*parts)


def silence_lines(silences: Sequence[Silence]) -> list[Text]:
    """Of each silence that is over: when it was and why."""
    return [
        Text(
            f"silent for {silence.seconds:.1f} s, {silence.from_seconds:.1f} s after the start: "
            + "; then ".join(reason.text for reason in silence.reasons)
        )
        for silence in silences
        if silence.is_over
    ]


def summary_view(target: Target, metadata: Mapping[str, Any] | None) -> RenderableType:
    """What the stream says that it is."""
    table = facts_table()
    table.add_row("stream", target.url)
    if metadata is None:
        table.add_row("metadata", "none")
        return table
    synthetic = " (synthetic)" if metadata.get("is_synthetic") is True else ""
    table.add_row("dataset", f"{_said(metadata, 'dataset')}{synthetic}")
    table.add_row("channels", _said(metadata, "num_channels"))
    table.add_row(
        "packets",
        f"{_said(metadata, 'frequency_hz')} a second, {_said(metadata, 'bin_size_ms')} ms each",
    )
    table.add_row(
        "recording",
        f"{_said(metadata, 'duration_seconds')} s, {_said(metadata, 'total_packets')} packets, "
        f"{_said(metadata, 'num_trials')} trials",
    )
    return table


def live_line(arrivals: Arrivals, n_failing: int, gaps: int, now_ns: int) -> Text:
    """One line for a person who watches while it goes on."""
    seconds = (now_ns - arrivals.opened_ns) / 1e9
    line = Text(f"{seconds:6.1f} s  {len(arrivals.packets_ns)} packets  ")
    line.append(f"{arrivals.recent_rate_hz(now_ns):.2f} Hz", style="bold")
    line.append(f"  {gaps} gaps", style="red" if gaps else "green")
    if n_failing:
        line.append(f"  {n_failing} checks fail", style="red")
    silent_s = arrivals.silent_seconds(now_ns)
    if silent_s > 2:
        line.append(f"  no packet for {silent_s:.0f} s", style="yellow")
    return line


def pretty_json(value: Any, indent: int = 0) -> str:
    """JSON for people: what fits stays on one line, lists of numbers are filled."""
    flat = json.dumps(value)
    inner = " " * (indent + 2)
    if len(flat) + indent <= _WIDTH or not value or not isinstance(value, (dict, list)):
        return flat
    if isinstance(value, dict):
        lines = [f"{json.dumps(k)}: {pretty_json(v, indent + 2)}" for k, v in value.items()]
        body = ",\n".join(inner + line for line in lines)
        return f"{{\n{body}\n{' ' * indent}}}"
    if any(isinstance(each, (dict, list)) for each in value):
        body = ",\n".join(inner + pretty_json(each, indent + 2) for each in value)
    else:
        body = textwrap.fill(
            flat[1:-1], _WIDTH, initial_indent=inner, subsequent_indent=inner,
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return f"[\n{body}\n{' ' * indent}]"


def open_console(*, stderr: bool = False) -> Console:
    """A console that shows what it gets as it is, without guessing at colours."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _figures_view(figures: Figures) -> RenderableType:
    table = facts_table()
    if figures.first_packet_seconds is not None:
        table.add_row(
            "first packet", f"{figures.first_packet_seconds * 1e3:.1f} ms after connecting"
        )
    table.add_row(
        "packets",
        f"{figures.packets} in {figures.span_seconds:.3f} s, {figures.bytes / 1e6:.2f} MB",
    )
    if figures.rate_hz is not None:
        table.add_row("rate", f"{figures.rate_hz:.3f} Hz")
    spread = figures.intervals
    if spread is not None:
        table.add_row(
            "intervals",
            f"mean {spread.mean:.3f} ms, std {spread.std:.3f}, p50 {spread.p50:.3f}, "
            f"p99 {spread.p99:.3f}, max {spread.max:.3f}",
        )
    table.add_row("gaps", f"{figures.gaps}, {figures.lost} packets lost")
    return table


def checks_view(checks: tuple[CheckResult, ...]) -> RenderableType:
    """Every promise and what was seen of it."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("promise", no_wrap=True)
    table.add_column("seen", overflow="fold")
    for check in checks:
        style, word = ("green", "pass") if check.passed else ("bold red", "FAIL")
        table.add_row(Text(word, style=style), check.name, Text(check.detail))
    return table


def facts_table() -> Table:
    """An empty table of names and what is said of them."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _said(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    if value is None:
        return "?"
    return f"{value:g}" if isinstance(value, float) else str(value)
