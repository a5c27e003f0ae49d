"""Plots as SVG: lines and points in a frame with axes. No script, no reference out of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8e5aa3", "#b8860b", "#2a9d8f", "#7a4419", "#555555")
"""Of decoders, in their order."""
TRUTH_COLOUR = "#999999"

_LEFT, _RIGHT, _TOP, _BOTTOM = 48.0, 8.0, 22.0, 30.0

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a line, broken where one is not finite.

    Attributes:
        points: x, y.
        colour: of the stroke.
        width: of the stroke; 0 for dots alone.
        dots: radius of the dot at each point; 0 for none.
    """

    points: Points
    colour: str
    width: float = 1.2
    dots: float = 0.0


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        title: above it.
        lines: what is drawn.
        x_label: under it.
        y_label: beside it.
        width, height: px.
        verticals: x and label of dashed lines from bottom to top.
        horizontals: y of dashed lines.
        equal: whether both axes have the same scale.
        low: the lowest y that is shown; what lies below is cut.
    """

    title: str
    lines: Sequence[Line]
    x_label: str = ""
    y_label: str = ""
    width: int = 640
    height: int = 220
    verticals: Sequence[tuple[float, str]] = ()
    horizontals: Sequence[float] = ()
    equal: bool = False
    low: float = -math.inf


def svg(plot: Plot) -> str:
    """The plot as an SVG element."""
    frame = _Frame.around(plot)
    parts = [
        f'<svg viewBox="0 0 {plot.width} {plot.height}" width="{plot.width}" '
        f'height="{plot.height}" role="img" aria-label="{escape(plot.title)}">',
        _text(plot.width / 2, 14, plot.title, "middle"),
        _text((frame.left + plot.width - _RIGHT) / 2, plot.height - 3, plot.x_label, "middle"),
        _text(2, 14, plot.y_label, "start"),
        f'<rect x="{_LEFT:g}" y="{_TOP:g}" width="{plot.width - _LEFT - _RIGHT:g}" '
        f'height="{plot.height - _TOP - _BOTTOM:g}" fill="none" stroke="#ccc"/>',
    ]
    for value in _ticks(frame.x0, frame.x1):
        parts.append(_text(frame.x(value), plot.height - _BOTTOM + 12, f"{value:g}", "middle"))
    for value in _ticks(frame.y0, frame.y1):
        parts.append(_text(_LEFT - 4, frame.y(value) + 3, f"{value:g}", "end"))
        parts.append(_rule(_LEFT, frame.y(value), plot.width - _RIGHT, frame.y(value), "#eee", ""))
    for value in plot.horizontals:
        if frame.y0 <= value <= frame.y1:
            y = frame.y(value)
            parts.append(_rule(_LEFT, y, plot.width - _RIGHT, y, "#888", "3 3"))
    for value, label in plot.verticals:
        if frame.x0 <= value <= frame.x1:
            x = frame.x(value)
            parts.append(_rule(x, _TOP, x, plot.height - _BOTTOM, "#888", "3 3"))
            parts.append(_text(x + 2, _TOP + 10, label, "start"))
    for line in plot.lines:
        parts += _drawn(line, frame)
    parts.append("</svg>")
    return "".join(parts)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Which values lie where."""

    x0: float
    x1: float
    y0: float
    y1: float
    left: float
    bottom: float
    per_x: float
    per_y: float

    @classmethod
    def around(cls, plot: Plot) -> _Frame:
        finite = [
            (x, max(y, plot.low))
            for line in plot.lines
            for x, y in line.points
            if math.isfinite(x) and math.isfinite(y)
        ]
        x0, x1 = _range([x for x, _ in finite])
        y0, y1 = _range([y for _, y in finite])
        width, height = plot.width - _LEFT - _RIGHT, plot.height - _TOP - _BOTTOM
        per_x, per_y = width / (x1 - x0), height / (y1 - y0)
        if plot.equal:
            per = min(per_x, per_y)
            x0, x1 = _widened(x0, x1, width / per)
            y0, y1 = _widened(y0, y1, height / per)
            per_x = per_y = per
        return cls(x0, x1, y0, y1, _LEFT, plot.height - _BOTTOM, per_x, per_y)

    def x(self, value: float) -> float:
        return self.left + (value - self.x0) * self.per_x

    def y(self, value: float) -> float:
        return self.bottom - (max(value, self.y0) - self.y0) * self.per_y


def _range(values: list[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low, high = min(values), max(values)
    if low == high:
        return low - 0.5, high + 0.5
    margin = (high - low) * 0.04
    return low - margin, high + margin


def _widened(low: float, high: float, length: float) -> tuple[float, float]:
    more = (length - (high - low)) / 2
    return low - more, high + more


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step)
    return [round(k * step, 10) for k in range(first, math.floor(high / step) + 1)]


def _drawn(line: Line, frame: _Frame) -> list[str]:
    parts = []
    if line.width:
        run: list[str] = []
        for x, y in (*line.points, (math.nan, math.nan)):
            if math.isfinite(x) and math.isfinite(y):
                run.append(f"{frame.x(x):.1f},{frame.y(y):.1f}")
            elif run:
                parts.append(
                    f'<polyline points="{" ".join(run)}" fill="none" stroke="{line.colour}" '
                    f'stroke-width="{line.width:g}"/>'
                )
                run = []
    if line.dots:
        parts += [
            f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{line.dots:g}" '
            f'fill="{line.colour}"/>'
            for x, y in line.points
            if math.isfinite(x) and math.isfinite(y)
        ]
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _rule(x0: float, y0: float, x1: float, y1: float, colour: str, dashes: str) -> str:
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"{dash}/>'
    )
