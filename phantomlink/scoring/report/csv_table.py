"""A report as a table: one row for each decoder, window, variant, part of the run and quantity."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phantomlink.scoring.packets import PAIRS
from phantomlink.scoring.report.document import ScoredRun
from phantomlink.scoring.run_score import VARIANTS, WINDOWS

COLUMNS = (
    "run",
    "perturbation",
    "seed",
    "decoder",
    "window",
    "variant",
    "part",
    "trial_id",
    "loop",
    "reach_id",
    "quantity",
    "n",
    "coverage",
    "r2",
    "r2_first",
    "r2_second",
    "r_first",
    "r_second",
    "rmse",
    "angular_error_mean_degrees",
    "angular_error_median_degrees",
    "lag_bins",
)
"""`first` and `second` are the axes: vx and vy, x and y."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_report(runs: Sequence[ScoredRun]) -> str:
    """The scores of all runs, without their comparisons."""
    out = io.StringIO()
    table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    table.writeheader()
    for number, run in enumerate(runs):
        for row in _rows(run):
            table.writerow({"run": number} | {name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _rows(run: ScoredRun) -> Iterator[dict[str, Any]]:
    played = {name: run.about.get(name) for name in ("perturbation", "seed")}
    for decoder in run.decoders:
        for window in WINDOWS:
            for variant in VARIANTS:
                scores = decoder["scores"][window][variant]
                named = {"decoder": decoder["decoder"], "window": window, "variant": variant}
                for part in ("whole", "last_10_s"):
                    yield from _quantities(played | named | {"part": part}, scores[part])
                for part, entries in (("trial", "trials"), ("reach", "reaches")):
                    for entry in scores[entries]:
                        keys = ("trial_id", "loop", "reach_id")
                        which = {key: entry[key] for key in keys if key in entry}
                        yield from _quantities(played | named | {"part": part} | which, entry)


def _quantities(named: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for quantity in PAIRS:
        said = figures.get(quantity)
        if said is None:
            continue
        *r2_axes, r2 = said["r2"].values()
        r_first, r_second = said["r"].values()
        angles = said.get("angular_error_degrees", {})
        yield {
            **named,
            "quantity": quantity,
            "n": said["n"],
            "coverage": figures["coverage"],
            "r2": r2,
            "r2_first": r2_axes[0],
            "r2_second": r2_axes[1],
            "r_first": r_first,
            "r_second": r_second,
            "rmse": said["rmse"],
            "angular_error_mean_degrees": angles.get("mean"),
            "angular_error_median_degrees": angles.get("median"),
            "lag_bins": said.get("lag_bins"),
        }


def _cell(value: Any) -> Any:
    """A cell; text that a spreadsheet would take for a formula is made text again."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return repr(value) if isinstance(value, float) else value
