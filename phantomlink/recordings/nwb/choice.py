"""Which series are the position and the velocity: by what they are, by name, or as told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from phantomlink.recordings.nwb.series import Series
from phantomlink.recordings.nwb.told_series import Choice, told_choice, xy_columns

_LENGTH = (
    r"(?:(?:k|d|c|m|u|µ|μ|n)?m|(?:kilo|deci|centi|milli|micro|nano)?(?:meter|metre)s?"
    r"|in|inch(?:es)?|ft|foot|feet)"
)
# Units that people write for a place on a screen or when they did not care.
_LOOSE = (
    r"(?:px|pixels?|a\.?u\.?|arb\.?\s*units?|arbitrary(?:\s*units?)?|unknown|none|n\.?/?a\.?|units?"
    r"|deg(?:rees?)?|dva|)"
)
_PER_SECOND = (
    r"(?:\s*(?:/|per|p)\s*(?:s|sec|secs|second|seconds)"
    r"|[\s*.·]*s(?:ec)?\s*(?:\^?\s*-1|⁻¹))"
)

_IS_LENGTH = re.compile(_LENGTH, re.IGNORECASE)
_IS_LOOSE = re.compile(_LOOSE, re.IGNORECASE)
_IS_SPEED = re.compile(_LENGTH + _PER_SECOND, re.IGNORECASE)
_IS_LOOSE_SPEED = re.compile(_LOOSE + f"(?:{_PER_SECOND})?", re.IGNORECASE)

_POSITION = {"pos", "position", "positions", "xy", "loc", "location", "coordinates", "trajectory"}
_VELOCITY = {"vel", "velocity", "velocities", "speed"}
_EYE = {"eye", "eyes", "gaze", "pupil"}
_EFFECTORS = {"cursor": 0, "hand": 1, "finger": 2, "wrist": 3, "arm": 3}
# Things that are measured in a unit of length or have columns x and y, but are not where the
# subject or its cursor is.
_OTHER = {
    *("target", "targets", "goal", "cue", "barrier", "obstacle", "stimulus", "stim"),
    *("acc", "acceleration", "jerk", "force", "torque", "emg", "lfp"),
    *("angle", "angles", "ang", "heading", "direction", "orientation", "rotation"),
    *("length", "len", "diameter", "size", "width", "height", "radius", "distance", "error"),
}
_AXIS = re.compile(r"^(.*?)[ _.\-]?([xy])$", re.IGNORECASE)


def choose(
    found: Sequence[Series], position: str | None, velocity: str | None
) -> tuple[Choice | None, Choice | None]:
    """Choose the series of position and velocity.

    Args:
        found: every series of the file.
        position: told: NWB path, last name, or two of them with a comma; None: search.
        velocity: the same.

    Returns:
        Position and velocity; None where there is none.

    Raises:
        RecordingError: a told series is not there or cannot be played.
    """
    candidates = list(_candidates([series for series in found if _is_candidate(series)]))
    chosen_position = (
        _best(candidates, _position_rank)
        if position is None
        else told_choice("position_series", position, found)
    )
    if velocity is not None:
        return chosen_position, told_choice("velocity_series", velocity, found)
    if chosen_position is not None:
        # A velocity of fewer axes is some other thing (a wheel beside a camera), and the eye's
        # is not the hand's: then the gradient of the position is the better velocity.
        candidates = [
            choice
            for choice in candidates
            if choice.axes == chosen_position.axes
            and _is_of_eye(choice) <= _is_of_eye(chosen_position)
        ]
    return chosen_position, _best(candidates, _velocity_rank)


def _is_candidate(series: Series) -> bool:
    return (
        series.path.startswith(("processing/", "acquisition/"))
        and series.neurodata_type in ("SpatialSeries", "TimeSeries")
        and 1 <= series.columns <= 3
        and series.rows > 0
        and series.has_unit
    )


def _candidates(found: Sequence[Series]) -> Iterable[Choice]:
    """Each series by itself, and each pair of series that are the two axes of one thing."""
    axes: dict[tuple[str, str, str], Series] = {}
    for series in found:
        match = _AXIS.match(series.name) if series.columns == 1 else None
        if match:
            axes[series.parent, match[1].lower(), match[2].lower()] = series
    paired: set[str] = set()
    for (parent, stem, axis), first in axes.items():
        second = axes.get((parent, stem, "y"))
        if axis == "x" and second is not None:
            paired |= {first.path, second.path}
            yield Choice((first, second), ((0,), (0,)))
    for series in found:
        if series.path not in paired:
            yield Choice((series,), (xy_columns(series),))


def _best(
    candidates: Sequence[Choice], rank: Callable[[Choice], tuple[object, ...] | None]
) -> Choice | None:
    ranked = [(place, choice) for choice in candidates if (place := rank(choice)) is not None]
    return min(ranked, key=lambda item: item[0])[1] if ranked else None


def _position_rank(choice: Choice) -> tuple[object, ...] | None:
    """Sorts first what is most surely the position; None for what is none."""
    words, unit, series = _words(choice), _unit(choice), choice.series[0]
    in_position = series.container == "Position"
    named = in_position or bool(words & (_POSITION | _EFFECTORS.keys()))
    is_length = _IS_LENGTH.fullmatch(unit) is not None
    if words & (_OTHER | _VELOCITY) or not (is_length or _IS_LOOSE.fullmatch(unit)):
        return None
    # One column of lengths may be anything (and a direction in its default unit is in metres):
    # it must be called a position.
    if (not is_length or choice.axes == 1) and not named:
        return None
    if series.container == "CompassDirection":
        return None
    return (
        _is_of_eye(choice),
        min((_EFFECTORS[word] for word in words & _EFFECTORS.keys()), default=4),
        not words & _POSITION,
        choice.axes == 1,
        not is_length,
        len(choice.series),
        series.path,
    )


def _velocity_rank(choice: Choice) -> tuple[object, ...] | None:
    """Sorts first what is most surely the velocity; None for what is none."""
    words, unit, series = _words(choice), _unit(choice), choice.series[0]
    named = bool(words & _VELOCITY)
    is_speed = _IS_SPEED.fullmatch(unit) is not None
    # A series called velocity may carry the unit that its writer left at the default: metres.
    plausible = _IS_LOOSE_SPEED.fullmatch(unit) or _IS_LENGTH.fullmatch(unit)
    if words & _OTHER or not (is_speed or (named and plausible)):
        return None
    # The length of a velocity has lost its direction.
    if choice.axes == 1 and ("speed" in words or not named):
        return None
    # The hand before the cursor, as in MC_Maze: x and y of the cursor, velocity of the hand.
    effectors = _EFFECTORS | {"hand": 0, "cursor": 1}
    return (
        _is_of_eye(choice),
        min((effectors[word] for word in words & effectors.keys()), default=4),
        not is_speed,
        len(choice.series),
        series.path,
    )


def _is_of_eye(choice: Choice) -> bool:
    container = choice.series[0].container
    return bool(_words(choice) & _EYE) or container in ("EyeTracking", "PupilTracking")


def _words(choice: Choice) -> set[str]:
    """Words of the series' name: `cursor_pos`, `cursorPos` and `Cursor Pos` are the same."""
    name = choice.series[0].name
    if len(choice.series) > 1 and (axis := _AXIS.match(name)):
        name = axis[1]
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _unit(choice: Choice) -> str:
    return choice.series[0].unit.strip()
