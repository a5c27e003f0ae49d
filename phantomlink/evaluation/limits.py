"""`--fail-under r2=0.5`: what a decoder must reach, for a job that refuses a worse one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phantomlink.errors import InvalidParameterError
from phantomlink.scoring import VARIANTS, WINDOWS
from phantomlink.scoring.report import ScoredRun

_QUANTITIES = ("velocity", "position")
_OF_QUANTITY: Mapping[str, tuple[str, ...]] = {
    "r2": ("r2", "both"),
    **{f"{name}.{axis}": (name, axis) for name in ("r2", "r") for axis in ("vx", "vy", "x", "y")},
    "rmse": ("rmse",),
    "angular_error_degrees": ("angular_error_degrees", "median"),
    "angular_error_degrees.mean": ("angular_error_degrees", "mean"),
    "lag_ms": ("lag_ms",),
    "lag_bins": ("lag_bins",),
}
_FIGURES = {"n": ("n",), "coverage": ("coverage",), **_OF_QUANTITY}
# Of which less is better, so that a least one is a mistake.
_ERRORS = ("rmse", "angular_error_degrees", "angular_error_degrees.mean")


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure of a decoder's score, and what it must not go below, or above.

    Attributes:
        figure: one of those that a score has.
        window: of the score.
        variant: of it.
        quantity: velocity or position; None for whichever it predicts, velocity first.
        bound: that the figure may have.
        is_most: whether the figure must not be above it, where it must not be below it otherwise.
    """

    figure: str
    window: str
    variant: str
    quantity: str | None
    bound: float
    is_most: bool

    def failure(self, scores: Mapping[str, Any]) -> str | None:
        """What is wrong with the scores of a decoder; None where the limit is kept.

        A figure that is not defined does not keep it.
        """
        got = self._figure(scores[self.window][self.variant]["whole"])
        if got is not None and (got <= self.bound if self.is_most else got >= self.bound):
            return None
        shown = "undefined" if got is None else f"{got:.4f}"
        side = "above" if self.is_most else "below"
        held = "" if self.variant == VARIANTS[0] else f" ({self.variant})"
        return f"{self.figure}{held} in {self.window} is {shown}, {side} {self.bound:g}"

    def _figure(self, whole: Mapping[str, Any]) -> float | None:
        value: Any = whole
        path = _FIGURES[self.figure]
        if self.figure in _OF_QUANTITY:
            quantities = _QUANTITIES if self.quantity is None else (self.quantity,)
            value = next((whole[name] for name in quantities if name in whole), {})
        for name in path:
            value = value.get(name, {})
        return float(value) if isinstance(value, int | float) else None


def parse_limits(texts: Sequence[str], *, is_most: bool = False) -> list[Limit]:
    """Limits as they are written: `r2=0.5`, `movement.held.velocity.r2.vx=0.6`.

    Args:
        texts: of them.
        is_most: whether they are of `--fail-over`.

    Raises:
        InvalidParameterError: one has another form.
    """
    return [_parse_limit(text, is_most=is_most) for text in texts]


def failures(run: ScoredRun, limits: Sequence[Limit]) -> Iterator[str]:
    """One line for each decoder and limit that it does not keep."""
    for decoder in run.decoders:
        for limit in limits:
            failure = limit.failure(decoder["scores"])
            if failure is not None:
                yield (
                    f"{decoder['decoder']}: {failure} (perturbation "
                    f"{run.about['perturbation'] or 'none'}, seed {run.about['seed']})"
                )


def _parse_limit(text: str, *, is_most: bool) -> Limit:
    named, _, value = text.partition("=")
    parts = named.split(".")
    window, variant, quantity = (
        parts.pop(0) if parts and parts[0] in among else None
        for among in (WINDOWS, VARIANTS, _QUANTITIES)
    )
    figure = ".".join(parts)
    if figure == "r2_held" and variant is None:
        figure, variant = "r2", "held"
    try:
        bound = float(value)
    except ValueError:
        bound = math.nan
    if figure in _ERRORS and not is_most:
        raise InvalidParameterError(
            f"fail-under: got {text!r}, but less of it is better: --fail-over {text}"
        )
    if figure not in _FIGURES or not math.isfinite(bound):
        raise InvalidParameterError(
            f"{'fail-over' if is_most else 'fail-under'}: got {text!r}, takes FIGURE=NUMBER with "
            f"one of {', '.join(_FIGURES)}; before it, each with a dot, may stand "
            f"{' or '.join(WINDOWS)}, {' or '.join(VARIANTS)}, {' or '.join(_QUANTITIES)}"
        )
    return Limit(
        figure, window or WINDOWS[0], variant or VARIANTS[0], quantity, bound, is_most=is_most
    )
