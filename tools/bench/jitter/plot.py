"""A picture of a run: how large the errors are, and when. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..harness.arrivals import Arrivals
from ..harness.children import ChildError
from .drift import grid_errors, residuals, segments
from .slices import Measured, Results

_PER_SLICE = 20_000  # points of a curve; more cannot be seen


def load_matplotlib() -> ModuleType:
    """pyplot, drawing into files.

    Raises:
        ChildError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: PLC0415

        matplotlib.use("Agg")
        from matplotlib import pyplot  # noqa: PLC0415
    except ImportError as error:
        raise ChildError("--plot needs matplotlib: pip install matplotlib") from error
    found: ModuleType = pyplot
    return found


class Picture:
    """Keeps what is drawn: interval errors, and how late the first slice's packets were.

    Args:
        rate_hz: packets a second.
    """

    def __init__(self, rate_hz: Fraction) -> None:
        self._pyplot: Any = load_matplotlib()
        self._rate_hz = rate_hz
        self._errors: dict[str, list[NDArray[np.int64]]] = {}
        self._late: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def __call__(
        self, name: str, index: int, measured: Measured, arrivals: Sequence[Arrivals]
    ) -> None:
        """A slice more."""
        period_ns = round(1_000_000_000 / self._rate_hz)
        for connection in arrivals:
            if len(connection.arrival_ns) < 2:
                continue
            consecutive = np.diff(connection.sequence) == 1
            error = np.abs(np.diff(connection.arrival_ns) - period_ns)[consecutive]
            self._errors.setdefault(name, []).append(error[:_PER_SLICE])
        if name not in self._late and arrivals and len(arrivals[0].arrival_ns) > 1:
            first = arrivals[0]
            residual = residuals(first.arrival_ns, first.sequence, self._rate_hz)
            late = grid_errors(residual, segments(residual, self._rate_hz))
            self._late[name] = (first.arrival_ns - first.arrival_ns[0], late)

    def draw(self, path: Path, results: Results) -> None:
        """Write the picture: three panels."""
        figure, (tail, when, pairs) = self._pyplot.subplots(1, 3, figsize=(18, 5.5))
        for name, errors in self._errors.items():
            ordered = np.sort(np.concatenate(errors)) / 1e3
            above = 1 - np.arange(len(ordered)) / len(ordered)
            tail.loglog(np.maximum(ordered, 0.1), above, label=name)
        tail.set(
            xlabel="interval error (us)", ylabel="share of intervals above", title="Interval error"
        )
        for name, (at, late) in self._late.items():
            when.semilogy(at / 1e9, np.maximum(late / 1e3, 0.1), ".", markersize=3, label=name)
        when.set(
            xlabel="time (s)", ylabel="late to the ideal grid (us)", title="First slice, a client"
        )
        for name, measured in results.slices.items():
            p99 = [m.raw.interval.p99 / 1e3 for m in measured]
            pairs.semilogy(range(1, len(p99) + 1), p99, "o-", markersize=4, label=name)
        pairs.set(xlabel="slice", ylabel="interval error p99 (us)", title="Slice by slice, raw")
        for panel in (tail, when, pairs):
            panel.grid(visible=True, which="both", alpha=0.2)
            panel.legend(fontsize="small")
        figure.tight_layout()
        figure.savefig(path, dpi=110)
        self._pyplot.close(figure)
