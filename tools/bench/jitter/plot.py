"""A picture of a run: how large the errors are, and when. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..harness.arrivals import Arrivals
from ..harness.children import ChildError
from .series import Line
from .slices import Measured, Results

_PER_SLICE = 20_000  # points of a curve; more cannot be seen


class Picture:
    """Keeps what is drawn: interval errors, and how late the first slice's packets were.

    Args:
        rate_hz: packets a second.

    Raises:
        ChildError: matplotlib is not installed.
    """

    def __init__(self, rate_hz: Fraction) -> None:
        try:
            self._figure = import_module("matplotlib.figure").Figure((18, 5.5), layout="tight")
        except ImportError as error:
            raise ChildError("--plot needs matplotlib: pip install matplotlib") from error
        self._rate_hz = rate_hz
        self._errors: dict[str, list[NDArray[np.int64]]] = {}
        self._late: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}

    def __call__(
        self, name: str, index: int, measured: Measured, arrivals: Sequence[Arrivals]
    ) -> None:
        """A slice more."""
        for line in (Line(each, self._rate_hz) for each in arrivals if len(each.arrival_ns) > 1):
            self._errors.setdefault(name, []).append(line.interval[line.consecutive][:_PER_SLICE])
            at_ns = line.of.arrival_ns - line.of.arrival_ns[0]
            self._late.setdefault(name, (at_ns, line.late))

    def draw(self, path: Path, results: Results) -> None:
        """Write the picture: three panels."""
        tail, when, pairs = self._figure.subplots(1, 3)
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
        self._figure.savefig(path, dpi=110)
