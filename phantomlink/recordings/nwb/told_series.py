"""Series as a person names them: by path or last name, with columns, one series or one an axis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from phantomlink.errors import RecordingError
from phantomlink.recordings.nwb.series import Series

_SELECTION = re.compile(
    r"(?P<name>.*?)\[\s*:\s*,\s*(?P<columns>[^\[\]]+|\[[^\[\]]+\])\s*\]\Z", re.S
)


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Series that together give one quantity.

    Attributes:
        series: one series with the axes in its columns, or one series an axis.
        columns: for each series, which of its columns are x and (unless 1-D) y.
    """

    series: tuple[Series, ...]
    columns: tuple[tuple[int, ...], ...]

    @property
    def path(self) -> str:
        """Paths of the series, joined by a comma."""
        return ",".join(series.path for series in self.series)

    @property
    def axes(self) -> int:
        """1 for a track, 2 for a plane."""
        return sum(len(columns) for columns in self.columns)


def xy_columns(series: Series) -> tuple[int, ...]:
    """Which columns are x and y: as the comments say ("columns=[x,y]"), else the first two."""
    if series.columns == 1:
        return (0,)
    said = re.search(r"columns\s*=\s*\[([^\]]*)\]", series.comments)
    names = [name.strip().lower() for name in said[1].split(",")] if said else []
    if len(names) == series.columns and {"x", "y"} <= set(names):
        return names.index("x"), names.index("y")
    return 0, 1


def told_choice(option: str, names: str, found: Sequence[Series]) -> Choice:
    """The series that a person named, with the columns that they chose.

    Args:
        option: name of the option, for messages.
        names: one series (`hand_pos`, `pose[:,0:2]`), or two of one column each (`x,y`).
        found: every series of the file.

    Raises:
        RecordingError: there is no such series, or it cannot be played.
    """
    chosen = [_told(option, name, found) for name in _split(names)]
    series = tuple(each for each, _ in chosen)
    if len(chosen) == 1:
        return Choice(series, (chosen[0][1],))
    if len(chosen) > 2 or any(len(columns) != 1 for _, columns in chosen):
        raise RecordingError(
            f"{option} {names!r}: takes one series, or two of one column each, x and y"
        )
    return Choice(series, tuple(columns for _, columns in chosen))


def named_series(option: str, name: str, found: Sequence[Series]) -> Series:
    """The series with this path or last name, or the only one in the group of that name.

    Raises:
        RecordingError: there is none, or there are several.
    """
    path = name.strip().strip("/")
    for matches in (
        [series for series in found if series.path == path],
        [series for series in found if series.name == path],
        # A Position container with a single series in it.
        [series for series in found if series.parent == path],
        [series for series in found if series.parent.rpartition("/")[2] == path],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            several = ", ".join(series.path for series in matches)
            raise RecordingError(f"{option} {name!r} names several series: {several}")
    there = ", ".join(series.path for series in found) or "none"
    raise RecordingError(f"{option} {name!r} is not a series of the recording; it has: {there}")


def described_columns(series: Series) -> str:
    """The columns of a series, by name where the file has names, for a message."""
    names = ", ".join(f"{number} {name}" for number, name in enumerate(series.column_names))
    number_of = "1 column" if series.columns == 1 else f"{series.columns} columns"
    return number_of + (f" ({names})" if names else "")


def _split(names: str) -> list[str]:
    """At commas that are not between brackets."""
    parts, depth = [""], 0
    for character in names:
        depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _told(option: str, name: str, found: Sequence[Series]) -> tuple[Series, tuple[int, ...]]:
    match = _SELECTION.match(name)
    series = named_series(option, match["name"] if match else name, found)
    if match is None:
        if series.columns > 3:
            raise RecordingError(
                f"{option}: {series.path} has {described_columns(series)}; 1 to 3 can be played: "
                f"choose with {series.path}[:,0:2]"
            )
        return series, xy_columns(series)
    columns = _columns(match["columns"])
    if not 1 <= len(columns) <= 3 or not all(0 <= column < series.columns for column in columns):
        raise RecordingError(
            f"{option} {name!r}: takes 1 to 3 of the {described_columns(series)} of "
            f"{series.path}, as in {series.path}[:,0:2] or [:,[0,2]]"
        )
    return series, columns[:2]


def _columns(said: str) -> tuple[int, ...]:
    """Numbers of columns: `0:2`, `1`, `0,2` or `[0,2]`; empty when it is none of these."""
    try:
        if ":" in said:
            first, last = said.split(":")
            return tuple(range(int(first or 0), int(last)))[:64]
        return tuple(int(number) for number in said.strip("[] ").split(","))
    except ValueError:
        return ()
