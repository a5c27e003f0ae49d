"""What a viewer asks for, checked before the upgrade."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from phantomlink.engine.session_codes import validate_code
from phantomlink.errors import InvalidParameterError, NotFoundError
from phantomlink.recordings.trials import Filter

VIEW_PATH = "/view"
VIEW_PREFIX = "/view/"
LONGEST_COLUMN_MS = 10_000.0
_USUAL_COLUMN_MS = 25.0
_UNITS = re.compile(r"([0-9]{1,7})-([0-9]{1,7})\Z", re.ASCII)
_INTEGER = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_FILTERS = ("trial_id", "target_id", "reach_id")
_KNOWN = ("column_ms", "units", *_FILTERS)


@dataclass(frozen=True, slots=True)
class ViewQuery:
    """How a session is watched; viewers of the same query share the work.

    Attributes:
        filter: the playhead.
        column_ms: recording time of a column; None for the usual.
        units: first and last row; None for all.
    """

    filter: Filter
    column_ms: float | None = None
    units: tuple[int, int] | None = None

    def bins_per_column(self, bin_size_ms: float) -> int:
        """Whole bins of a column."""
        wanted = self.column_ms or max(_USUAL_COLUMN_MS, bin_size_ms)
        return max(1, round(wanted / bin_size_ms))

    def unit_rows(self, n_units: int) -> slice:
        """The rows that are wanted.

        Raises:
            InvalidParameterError: there are not so many.
        """
        if self.units is None:
            return slice(0, n_units)
        first, last = self.units
        if not first <= last < n_units:
            raise InvalidParameterError(
                f"units: got {first}-{last}, takes rows from 0 to {n_units - 1}, first to last"
            )
        return slice(first, last + 1)


def is_view_path(path: str) -> bool:
    """Whether a path, still percent-encoded, is that of a view or of their list."""
    return path == VIEW_PATH or path.startswith(VIEW_PREFIX)


def view_code(path: str) -> str:
    """The session's code in a path, still percent-encoded.

    Raises:
        NotFoundError: it is no path of a view.
        InvalidParameterError: the code has the wrong form.
    """
    if not path.startswith(VIEW_PREFIX):
        raise NotFoundError(f"no view at {path!r}")
    return validate_code(unquote(path[len(VIEW_PREFIX) :], errors="replace"))


def read_view_query(query: str) -> ViewQuery:
    """What a query asks for.

    Args:
        query: as sent, without the question mark.

    Raises:
        InvalidParameterError: it has a member that is not known, or of the wrong form.
    """
    members = parse_qs(query, keep_blank_values=True, errors="replace")
    for name, values in members.items():
        if name.startswith("_"):
            continue
        if name not in _KNOWN:
            raise InvalidParameterError(f"{name[:80]}: not known; takes {', '.join(_KNOWN)}")
        if len(values) > 1:
            raise InvalidParameterError(f"{name}: got it {len(values)} times, takes one value")
    one = {name: members[name][0] for name in _KNOWN if name in members}
    wanted = Filter(**{name: _integer(name, one.get(name)) for name in _FILTERS})
    return ViewQuery(wanted, _column_ms(one.get("column_ms")), _units(one.get("units")))


def _integer(name: str, raw: str | None) -> int | None:
    if raw is None:
        return None
    if not _INTEGER.match(raw):
        raise InvalidParameterError(f"{name}: got {raw[:80]!r}, takes a whole number from 0")
    return int(raw)


def _column_ms(raw: str | None) -> float | None:
    if raw is None:
        return None
    try:
        value = float(raw)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST_COLUMN_MS:
        raise InvalidParameterError(
            f"column_ms: got {raw[:80]!r}, takes a number above 0 up to {LONGEST_COLUMN_MS:g}"
        )
    return value


def _units(raw: str | None) -> tuple[int, int] | None:
    if raw is None:
        return None
    found = _UNITS.match(raw)
    if found is None:
        raise InvalidParameterError(
            f"units: got {raw[:80]!r}, takes the first and last row, as 0-63"
        )
    return int(found[1]), int(found[2])
