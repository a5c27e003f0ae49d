"""Which series and trial columns to use, when a person knows better than the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with (done, total), in whatever unit the work has, while something long is made."""


@dataclass(frozen=True, slots=True)
class SeriesOptions:
    """Names that replace the search; None: search.

    Attributes:
        position_series: NWB path or last name of the series that gives x and y; two of them,
            separated by a comma, where each axis has its own.
        velocity_series: the same for vx and vy.
        target_column: column of the trial table that says which target of the trial is meant.
        target_position_column: column of the trial table that says where the targets are.
    """

    position_series: str | None = None
    velocity_series: str | None = None
    target_column: str | None = None
    target_position_column: str | None = None


SEARCH = SeriesOptions()
"""Nothing is told; everything is searched for."""
