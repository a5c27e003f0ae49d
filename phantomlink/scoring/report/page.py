"""A report as one HTML page: no script, no other file, everything foreign escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from phantomlink.scoring.packets import PAIRS
from phantomlink.scoring.report.document import ScoredRun
from phantomlink.scoring.report.plots import (
    colour_of,
    difference_plots,
    over_trials,
    trajectory_plots,
)
from phantomlink.scoring.run_score import WINDOWS

_STYLE = (
    "body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;color:#222}"
    "table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em .7em;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    "svg text{font:10px system-ui,sans-serif;fill:#444}dt{font-weight:600}dd{margin:0 0 .3em 1em}"
    ".note{color:#555}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
STYLE_SHA256 = f"sha256-{_HASH}"
"""For the `style-src` of a Content-Security-Policy."""

_NOTES = (
    "R2 is 1 - squared errors of both axes / squared deviations from the mean of both, over all "
    "packets of the window; the mean of the R2 of trials is another number. <i>held</i>: the last "
    "answer stands where there is none. Decoded velocity is drawn as its integral from the start "
    "of each trial: open loop, nobody steered by it."
)


def html_report(runs: Sequence[ScoredRun], about: Mapping[str, Any], bin_seconds: float) -> str:
    """The report as a page.

    Args:
        runs: in the order in which they are told.
        about: what is true of all of them.
        bin_seconds: width of a bin, to integrate velocities.
    """
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        "<title>Decoder scores</title>",
        f"<style>{_STYLE}</style></head><body><h1>Decoder scores</h1>",
        _about(about),
        f'<p class="note">{_NOTES}</p>',
    ]
    for run in runs:
        parts += _run(run, about, bin_seconds)
    parts.append("</body></html>\n")
    return "".join(parts)


def _run(run: ScoredRun, about_all: Mapping[str, Any], bin_seconds: float) -> Iterator[str]:
    title = run.about.get("title") or run.about.get("perturbation") or "as recorded"
    yield f"<h2>{escape(_shown(title))}</h2>"
    yield _about({k: v for k, v in run.about.items() if k not in about_all or about_all[k] != v})
    for window in WINDOWS:
        yield f"<h3>Window {window}</h3>"
        yield _scores(run, window)
        if run.comparison is not None:
            yield _comparison(run.comparison, window)
    yield "<h3>Over trials</h3>"
    yield from over_trials(run, WINDOWS[0])
    if run.comparison is not None:
        yield from difference_plots(run, WINDOWS[0])
    if run.traces:
        yield "<h3>Trajectories</h3>"
        yield from trajectory_plots(run, bin_seconds)


def _scores(run: ScoredRun, window: str) -> str:
    head = (
        "decoder",
        "quantity",
        "n",
        "coverage",
        "R2",
        "R2, held",
        "R2 of axes",
        "r of axes",
        "RMSE",
        "angular error, mean / median",
        "lag, bins",
    )
    rows = []
    for decoder in run.decoders:
        scores = decoder["scores"][window]
        answered, held = scores["answered"]["whole"], scores["held"]["whole"]
        for quantity in PAIRS:
            said = answered.get(quantity)
            if said is None:
                continue
            *axes, both = said["r2"].values()
            angles = said.get("angular_error_degrees", {})
            rows.append(
                (
                    _named(run, decoder["decoder"]),
                    quantity,
                    str(said["n"]),
                    _number(answered["coverage"]),
                    _number(both),
                    _number(held[quantity]["r2"]["both"]),
                    " ".join(_number(axis) for axis in axes),
                    " ".join(_number(axis) for axis in said["r"].values()),
                    _number(said["rmse"]),
                    f"{_number(angles.get('mean'))} / {_number(angles.get('median'))}",
                    _shown(said.get("lag_bins")),
                )
            )
    return _table(head, rows) if rows else "<p>No packet of this window was answered.</p>"


def _comparison(comparison: Mapping[str, Any], window: str) -> str:
    head = (
        "first - second",
        "quantity",
        "figure",
        "trials",
        "mean difference",
        "95 % interval",
        "p",
        "p, Holm",
        "first / second better in",
    )
    rows = [
        (
            f"{escape(entry['first'])} - {escape(entry['second'])}",
            entry["quantity"],
            entry["figure"],
            str(entry["n_trials"]),
            _number(entry["mean_difference"]),
            " to ".join(_number(edge) for edge in entry["ci95"]),
            _number(entry["p"]),
            _number(entry["p_holm"]),
            f"{entry['first_better_in']} / {entry['second_better_in']}",
        )
        for entry in comparison["pairs"]
        if entry["window"] == window
    ]
    if not rows:
        return "<p>No two decoders answered the same packets of two trials or more.</p>"
    method = escape(f"{comparison['method']}; seed {comparison['seed']}")
    return _table(head, rows) + f'<p class="note">{method}</p>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def _named(run: ScoredRun, name: str) -> str:
    colour = colour_of(run, name)
    key = f'<svg width="12" height="10"><rect width="10" height="10" fill="{colour}"/></svg>'
    return f"{key} {escape(name)}"


def _about(about: Mapping[str, Any]) -> str:
    entries = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_shown(value))}</dd>"
        for name, value in about.items()
        if value is not None
    )
    return f"<dl>{entries}</dl>" if entries else ""


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
