"""`phantomlink score`: decoders over a recording, offline, as fast as the machine allows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from phantomlink.errors import InvalidParameterError, RecordingError
from phantomlink.evaluation.limits import Limit, failures, parse_limits
from phantomlink.evaluation.matrix import run_matrix
from phantomlink.evaluation.runs import RunKey, ScoreRequest, about_recording
from phantomlink.evaluation.sources import parse_sources
from phantomlink.files.atomic_write import written_atomically
from phantomlink.perturbation.presets import load_perturbation, parse_perturbation
from phantomlink.recordings.locate import locate_recording
from phantomlink.recordings.options import series_options
from phantomlink.scoring import WINDOWS
from phantomlink.scoring.report import ScoredRun, csv_report, html_report, json_report
from phantomlink.settings import Settings

_PIPED_WIDTH = 120
_FIGURES = {"rmse": "RMSE", "r2": "R2"}
_MOST_TRIALS = 10_000
_SUFFIXES = (".json", ".csv", ".html")


@dataclass(frozen=True, slots=True)
class ScoreArguments:
    """The command line.

    Attributes: see `phantomlink score --help`.
    """

    recording: str | None
    decoders: Sequence[str]
    options: str | None = None
    perturbations: Sequence[str] = ()
    seeds: Sequence[str] = ()
    train: str | None = None
    fit_clean: bool = False
    ab: bool = False
    ab_seed: int = 0
    reports: Sequence[Path] = ()
    limits: Sequence[str] = ()
    most: Sequence[str] = ()
    closed_loop: int | None = None
    jobs: int | None = None
    as_json: bool = False


def run_score(arguments: ScoreArguments, settings: Settings) -> int:
    """Score, print and write; answers the exit code: 1 where a limit is not met.

    Raises:
        PhantomLinkError: an argument, the recording, a decoder or a report cannot be used.
    """
    for path in arguments.reports:
        _check_report(path)
    limits = parse_limits(arguments.limits) + parse_limits(arguments.most, is_most=True)
    sources = parse_sources(arguments.decoders, _options(arguments.options))
    request = ScoreRequest(
        path=locate_recording(settings, arguments.recording),
        rate_hz=settings.stream_frequency_hz,
        sources=sources,
        series=series_options(settings),
        train=arguments.train,
        fit_clean=arguments.fit_clean,
        compare_seed=arguments.ab_seed if arguments.ab else None,
    )
    keys = [
        RunKey(perturbation, seed)
        for perturbation in _perturbations(arguments.perturbations)
        for seed in _seeds(arguments.seeds)
    ]
    if arguments.closed_loop is not None:
        from phantomlink.evaluation.closed_loop_command import run_closed_loops  # noqa: PLC0415

        return run_closed_loops(
            request, keys, _closed_loop_trials(arguments), as_json=arguments.as_json
        )
    jobs = arguments.jobs or _processors()
    about = about_recording(request)
    runs = _with_progress(request, keys, jobs)
    for path in arguments.reports:
        _write(path, runs, about, float(Fraction(1) / settings.stream_frequency_hz))
    if arguments.as_json:
        sys.stdout.write(json_report(runs, about))
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=_PIPED_WIDTH)
        console.print(_table(runs))
        if arguments.ab:
            console.print()
            console.print(_compared(runs))
    return _judged(runs, limits)


def parse_perturbation_argument(text: str) -> Any:
    """A perturbation of a command line: `none`, a preset, JSON, or a file of either form.

    Returns:
        What `parse_perturbation` takes.

    Raises:
        InvalidParameterError: it is none of them.
    """
    if text == "none":
        return None
    if text.endswith((".json", ".toml")):
        return load_perturbation(Path(text)).as_json()
    value: Any = text
    if text.startswith("{"):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise InvalidParameterError(f"perturbation: is no JSON: {error}") from None
    parse_perturbation(value)
    return value


def _closed_loop_trials(arguments: ScoreArguments) -> int:
    given = {
        "--report": arguments.reports,
        "--ab": arguments.ab,
        "--fail-under": arguments.limits,
        "--fail-over": arguments.most,
    }
    refused = [name for name, value in given.items() if value]
    n_trials = arguments.closed_loop or 0
    if refused or not 1 <= n_trials <= _MOST_TRIALS:
        got = f"{n_trials} trials" if not refused else " and ".join(refused)
        raise InvalidParameterError(
            f"closed-loop: got {got}, takes 1 to {_MOST_TRIALS} trials, and no --report, --ab, "
            "--fail-under or --fail-over"
        )
    return n_trials


def _processors() -> int:
    """Those that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _with_progress(request: ScoreRequest, keys: Sequence[RunKey], jobs: int) -> list[ScoredRun]:
    console = Console(stderr=True)
    columns = (TextColumn("Scoring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("runs", total=len(keys))
        return run_matrix(request, keys, jobs, lambda done: bar.update(task, completed=done))


def _options(text: str | None) -> Mapping[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidParameterError(f"options: is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidParameterError(f"options: got {text}, takes a JSON object")
    return value


def _perturbations(texts: Sequence[str]) -> list[Any]:
    return [parse_perturbation_argument(text) for text in texts] or [None]


def _seeds(texts: Sequence[str]) -> list[int]:
    seeds: list[int] = []
    for text in texts or ["0"]:
        first, separator, last = text.partition("-")
        if not first.isdecimal() or (separator and not last.isdecimal()):
            raise InvalidParameterError(
                f"seed: got {text!r}, takes a number or a range such as 0-9"
            )
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _check_report(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise InvalidParameterError(
            f"report: got {path.name!r}, takes a name that ends in {', '.join(_SUFFIXES)}"
        )
    if not path.parent.is_dir():
        raise InvalidParameterError(f"report: there is no folder {path.parent}")


def _write(
    path: Path, runs: Sequence[ScoredRun], about: Mapping[str, Any], bin_seconds: float
) -> None:
    if path.suffix == ".json":
        text = json_report(runs, about)
    elif path.suffix == ".csv":
        text = csv_report(runs)
    else:
        text = html_report(runs, about, bin_seconds)
    try:
        with written_atomically(path, overwrite=True) as part:
            part.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be written: {error.strerror}") from error


def _table(runs: Sequence[ScoredRun]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("perturbation", "seed", "decoder"):
        table.add_column(name)
    for name in ("n", "coverage", "R2", "R2 movement", "RMSE", "angle", "lag ms"):
        table.add_column(name, justify="right")
    for run in runs:
        for decoder in run.decoders:
            trials, movement = (
                decoder["scores"][window]["answered"]["whole"] for window in WINDOWS
            )
            velocity = trials.get("velocity") or trials.get("position") or {}
            moving = movement.get("velocity") or movement.get("position") or {}
            angle = velocity.get("angular_error_degrees", {}).get("median")
            table.add_row(
                _shown_perturbation(run.about["perturbation"]),
                str(run.about["seed"]),
                decoder["decoder"],
                str(trials["n"]),
                _number(trials["coverage"]),
                _number(velocity.get("r2", {}).get("both")),
                _number(moving.get("r2", {}).get("both")),
                _number(velocity.get("rmse")),
                _number(angle),
                _number(velocity.get("lag_ms")),
            )
    return table


def _compared(runs: Sequence[ScoredRun]) -> Table:
    """Each two decoders, by the RMSE and the R2 of the trials that they shared."""
    table = Table(box=None, pad_edge=False)
    for name in ("perturbation", "seed", "first - second", "window", "figure"):
        table.add_column(name)
    for name in ("difference", "95 %", "p, Holm", "better in"):
        table.add_column(name, justify="right")
    for run in runs:
        for pair in run.comparison["pairs"] if run.comparison else ():
            low, high = pair["ci95"]
            table.add_row(
                _shown_perturbation(run.about["perturbation"]),
                str(run.about["seed"]),
                f"{pair['first']} - {pair['second']}",
                pair["window"],
                f"{pair['quantity']} {_FIGURES[pair['figure']]}",
                _number(pair["mean_difference"]),
                f"{_number(low)} to {_number(high)}",
                f"{pair['p_holm']:.2g}",
                f"{pair['first_better_in']} / {pair['second_better_in']}",
            )
    return table


def _judged(runs: Sequence[ScoredRun], limits: Sequence[Limit]) -> int:
    failed = [line for run in runs for line in failures(run, limits)]
    for line in failed:
        print(f"phantomlink: {line}", file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


def _shown_perturbation(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
