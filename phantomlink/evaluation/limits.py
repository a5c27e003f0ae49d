"""`--fail-under r2=0.5`: what a decoder must reach, for a job that refuses a worse one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phantomlink.errors import InvalidParameterError
from phantomlink.scoring import WINDOWS
from phantomlink.scoring.report import ScoredRun

_FIGURES = ("r2", "r2_held", "coverage")


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure and the least that it may be.

    Attributes:
        figure: `r2`, `r2_held` or `coverage`; of velocity, else of position.
        window: of the score.
        least: it must not be below this.
    """

    figure: str
    window: str
    least: float


def parse_limits(texts: Sequence[str]) -> list[Limit]:
    """Limits as they are written: `r2=0.5`, `movement.r2=0.6`.

    Raises:
        InvalidParameterError: one has another form.
    """
    limits = []
    for text in texts:
        named, _, value = text.partition("=")
        window, separator, figure = named.rpartition(".")
        try:
            least = float(value)
        except ValueError:
            least = math.nan
        window = window if separator else WINDOWS[0]
        if figure not in _FIGURES or window not in WINDOWS or not math.isfinite(least):
            raise InvalidParameterError(
                f"fail-under: got {text!r}, takes FIGURE=NUMBER or WINDOW.FIGURE=NUMBER with one "
                f"of {', '.join(_FIGURES)} and {' or '.join(WINDOWS)}"
            )
        limits.append(Limit(figure, window, least))
    return limits


def failures(run: ScoredRun, limits: Sequence[Limit]) -> Iterator[str]:
    """One line for each decoder and limit that it does not reach; undefined is not reached."""
    for decoder in run.decoders:
        for limit in limits:
            got = _figure(decoder["scores"][limit.window], limit.figure)
            if got is None or got < limit.least:
                shown = "undefined" if got is None else f"{got:.4f}"
                yield (
                    f"{decoder['decoder']}: {limit.figure} in {limit.window} is {shown}, below "
                    f"{limit.least:g} (perturbation {run.about['perturbation'] or 'none'}, seed "
                    f"{run.about['seed']})"
                )


def _figure(scores: Mapping[str, Any], figure: str) -> float | None:
    whole = scores["held" if figure == "r2_held" else "answered"]["whole"]
    if figure == "coverage":
        return _number(whole["coverage"])
    quantity = whole.get("velocity") or whole.get("position")
    return None if quantity is None else _number(quantity["r2"]["both"])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
