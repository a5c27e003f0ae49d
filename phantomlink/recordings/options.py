"""What a person says of a recording who knows better than the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

from phantomlink.settings import Settings
from phantomlink.settings.forms import spike_time_factor

ProgressCallback: TypeAlias = Callable[[int, int], None]
"""Called with (done, total), in whatever unit the work has, while something long is made."""


@dataclass(frozen=True, slots=True)
class SeriesOptions:
    """Names that replace the search; None: search.

    A series is named by its NWB path or its last name, and may choose columns: `NAME[:,0:2]`.

    Attributes:
        position_series: the series that gives x and y; two of them, separated by a comma, where
            each axis has its own.
        velocity_series: the same for vx and vy.
        target_position_series: the same for the place of the target.
        counts_series: series of units as columns and bins as rows, played in place of spikes.
        target_column: column of the trial table that says which target of the trial is meant.
        target_position_column: column of the trial table that says where the targets are.
        units_table: path or name of the table of units.
        trials_table: path or name of the table of trials.
        spike_time_unit: of the stored spike times: s, ms, us or samples@RATE.
        behaviour_offset_seconds: added to the times of all series.
        trials_offset_seconds: added to the times of the trials.
        external_links: `off`, or `folder` to read files of the recording's folder that it links
            to.
    """

    position_series: str | None = None
    velocity_series: str | None = None
    target_column: str | None = None
    target_position_column: str | None = None
    target_position_series: str | None = None
    counts_series: str | None = None
    units_table: str | None = None
    trials_table: str | None = None
    spike_time_unit: str = "s"
    behaviour_offset_seconds: float = 0.0
    trials_offset_seconds: float = 0.0
    external_links: str = "off"

    @property
    def seconds_per_stored(self) -> float:
        """Factor from stored spike times to seconds.

        Raises:
            ValueError: the unit is not one of those that are taken.
        """
        return spike_time_factor(self.spike_time_unit)


SEARCH = SeriesOptions()
"""Nothing is told; everything is searched for."""


def series_options(settings: Settings) -> SeriesOptions:
    """What the settings say of the recording: each option is a setting of the same name."""
    return SeriesOptions(
        **{option.name: getattr(settings, option.name) for option in fields(SeriesOptions)}
    )


def option_names() -> tuple[str, ...]:
    """Names of the settings that are about one recording."""
    return tuple(option.name for option in fields(SeriesOptions))
