"""Which form of the metrics a client's `Accept` header asks for. Pure."""

from __future__ import annotations

import math
from enum import Enum

# A header of a client that means well has a handful of ranges.
_MAX_RANGES = 32


class Form(Enum):
    """A form of the metrics; of two that are wanted alike, the one that stands first here."""

    JSON = "application/json"
    OPENMETRICS = "application/openmetrics-text"
    PROMETHEUS = "text/plain"

    @property
    def content_type(self) -> str:
        """As the answer names it."""
        return {
            Form.JSON: "application/json",
            Form.OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form.PROMETHEUS: "text/plain; version=0.0.4; charset=utf-8",
        }[self]


def choose_form(accept: str) -> Form:
    """The form that is wanted most, by the rules of RFC 9110; JSON when nothing is asked for.

    A text has to be named (`text/*` names it too): `*/*`, as browsers and scripts send, is JSON.
    What cannot be read is passed over, and a client that takes nothing of ours gets JSON.

    Args:
        accept: the header's value; "" where there is none.
    """
    ranges = _media_ranges(accept)
    return max(Form, key=lambda form: _weight(form, ranges))


def _weight(form: Form, ranges: dict[str, float]) -> tuple[float, bool]:
    """(quality, whether it was named) of a form."""
    kind = form.value.partition("/")[0]
    for name, is_named in ((form.value, True), (f"{kind}/*", True), ("*/*", False)):
        if name in ranges:
            return ranges[name], is_named and ranges[name] > 0
    return 0.0, False


def _media_ranges(accept: str) -> dict[str, float]:
    """Quality by media range; parameters other than `q` make no difference."""
    ranges: dict[str, float] = {}
    for part in accept.split(",")[:_MAX_RANGES]:
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                quality = _quality(value)
        ranges[name] = max(quality, ranges.get(name, 0.0))
    return ranges


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if math.isfinite(quality) and 0 <= quality <= 1 else 0.0
