"""The flags of `phantomlink score` and `phantomlink fit`; imports what they do only to do it."""

from __future__ import annotations

import argparse
from pathlib import Path

from phantomlink.settings.load import load_settings

_RECORDING = (
    "a recording, or the name of one in the data directory; without it the default recording, or "
    "a synthetic one where there is none"
)
_TRAIN = (
    "trials that decoders are fitted to, which are not scored: a share such as 0.75 (drawn from "
    "the seed), or trials such as 0-49,60"
)
_PERTURBATION = "a preset, JSON, a .toml or .json file, or none"


def add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `phantomlink score`."""
    score = commands.add_parser(
        "score",
        help="score decoders over a recording, offline",
        description="Play a recording to decoders as fast as the machine allows and score them as "
        "a live session does. Exit code 1 when --fail-under or --fail-over is not met.",
    )
    score.add_argument("recording", nargs="?", help=_RECORDING)
    score.add_argument(
        "--decoder",
        dest="decoders",
        metavar="[NAME=]WHAT",
        action="append",
        required=True,
        help="package:Class, MODEL.npz, NETWORK.onnx, falcon:package:Class, or the name of a "
        "built-in decoder, which is fitted first; can be given several times",
    )
    score.add_argument(
        "--options", metavar="JSON", help="keyword arguments with which classes are made"
    )
    score.add_argument(
        "--perturbation",
        dest="perturbations",
        metavar="WHAT",
        action="append",
        default=[],
        help=f"{_PERTURBATION}; several make a matrix with the seeds",
    )
    score.add_argument(
        "--seed",
        dest="seeds",
        metavar="N or N-M",
        action="append",
        default=[],
        help="of perturbations and of the split; several make a matrix (default: 0)",
    )
    score.add_argument(
        "--train", help=f"{_TRAIN}; default: 0.75 where a decoder is to be fitted, else none"
    )
    score.add_argument(
        "--fit-clean", action="store_true", help="fit to the counts as they were recorded"
    )
    score.add_argument("--ab", action="store_true", help="compare each two decoders")
    score.add_argument(
        "--ab-seed", type=int, default=0, help="of its resampling (default: %(default)s)"
    )
    score.add_argument(
        "--report",
        dest="reports",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="write a report: .json, .csv or .html; can be given several times",
    )
    score.add_argument(
        "--fail-under",
        dest="limits",
        metavar="FIGURE=NUMBER",
        action="append",
        default=[],
        help="a figure that must not be below this in any run: r2, r2_held, r.vx, coverage, ...; "
        "in the window trials, movement.r2=0.6 for the other one",
    )
    score.add_argument(
        "--fail-over",
        dest="most",
        metavar="FIGURE=NUMBER",
        action="append",
        default=[],
        help="one that must not be above this: rmse, angular_error_degrees, lag_ms",
    )
    score.add_argument(
        "--closed-loop",
        metavar="TRIALS",
        type=int,
        nargs="?",
        const=80,
        help="let a simulated user steer a cursor with each decoder instead, in so many trials "
        "(default: %(const)s); takes no report, --ab or limit",
    )
    score.add_argument("--jobs", type=int, help="processes at once (default: one a processor)")
    score.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    score.set_defaults(run=_score)


def add_fit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `phantomlink fit`."""
    fit = commands.add_parser(
        "fit",
        help="fit a built-in decoder to a recording",
        description="Fit a built-in decoder to a recording, judge it by cross-validation over "
        "trials, and write a model that `score` and the server run.",
    )
    fit.add_argument("recording", nargs="?", help=_RECORDING)
    fit.add_argument(
        "--decoder",
        default="kalman",
        help="ridge, kalman, kalman-pv, refit or rls (default: %(default)s)",
    )
    fit.add_argument("--out", type=Path, required=True, help="the model to write, .npz")
    fit.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    fit.add_argument("--train", default="0.75", help=f"{_TRAIN} (default: %(default)s)")
    fit.add_argument("--perturbation", default="none", metavar="WHAT", help=_PERTURBATION)
    fit.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    fit.add_argument(
        "--window", choices=("trials", "movement"), default="trials", help="default: %(default)s"
    )
    fit.add_argument("--bins", type=int, help="bins that are looked at, or summed over")
    fit.add_argument("--lag", type=int, help="bins by which the hand follows the counts")
    fit.add_argument("--strength", type=float, help="penalty of ridge (default: by 5-fold)")
    fit.add_argument("--every", type=int, default=10, help="refit: trials between two fits")
    fit.add_argument("--last", type=int, default=30, help="refit: trials that are fitted to")
    fit.add_argument("--json", dest="as_json", action="store_true", help="print JSON")
    fit.set_defaults(run=_fit)


def _score(arguments: argparse.Namespace) -> int:
    from phantomlink.evaluation.score_command import ScoreArguments, run_score  # noqa: PLC0415

    given = {
        name: value for name, value in vars(arguments).items() if name not in ("run", "command")
    }
    return run_score(ScoreArguments(**given), load_settings({}))


def _fit(arguments: argparse.Namespace) -> int:
    from phantomlink.decoding import FitOptions  # noqa: PLC0415
    from phantomlink.evaluation.fit_command import FitRequest, run_fit  # noqa: PLC0415
    from phantomlink.evaluation.score_command import (  # noqa: PLC0415
        parse_perturbation_argument,
    )
    from phantomlink.recordings.locate import locate_recording  # noqa: PLC0415
    from phantomlink.recordings.options import series_options  # noqa: PLC0415

    settings = load_settings({})
    options = FitOptions(
        n_bins=arguments.bins,
        lag=arguments.lag,
        strength=arguments.strength,
        every=arguments.every,
        last=arguments.last,
    )
    request = FitRequest(
        kind=arguments.decoder,
        options=options,
        perturbation=parse_perturbation_argument(arguments.perturbation),
        seed=arguments.seed,
        train=arguments.train,
        window=arguments.window,
    )
    return run_fit(
        locate_recording(settings, arguments.recording),
        series_options(settings),
        settings.stream_frequency_hz,
        request,
        arguments.out,
        overwrite=arguments.overwrite,
        as_json=arguments.as_json,
    )
