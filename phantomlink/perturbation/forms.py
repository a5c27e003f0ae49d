"""Forms of parameters: what a value must look like, how a refusal says so, and its JSON Schema.

A transform annotates each of its fields with a form, and the parser, the messages of refusals and
the schema all come from that one place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from phantomlink.errors import InvalidParameterError

_SHOWN = 80


class Form(Protocol):
    """What a field takes.

    Attributes:
        about: what the value is, with its unit.
    """

    @property
    def about(self) -> str:
        """What the value is, with its unit."""
        ...

    @property
    def takes(self) -> str:
        """What is allowed, as the end of a sentence: "takes ..."."""
        ...

    def parse(self, value: object, field: str) -> object:
        """The value in its canonical form.

        Raises:
            InvalidParameterError: it has another form, or leaves the range.
        """
        ...

    def schema(self) -> dict[str, Any]:
        """JSON Schema of what `parse` takes."""
        ...


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `low` to `high`, both included; canonical as float."""

    low: float
    high: float
    about: str

    @property
    def takes(self) -> str:
        """What is allowed."""
        return f"a number from {self.low} to {self.high}"

    def parse(self, value: object, field: str) -> float:
        """The number as float; see `Form.parse`."""
        # To Python true is a number. NaN is in no range.
        if isinstance(value, bool) or not isinstance(value, int | float):
            refuse(field, value, self.takes)
        if not self.low <= value <= self.high:
            refuse(field, value, self.takes)
        return float(value) + 0.0  # -0.0 is 0.0, so that what is equal reads the same

    def schema(self) -> dict[str, Any]:
        """JSON Schema of it."""
        return {
            "type": "number",
            "minimum": self.low,
            "maximum": self.high,
            "description": self.about,
        }


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int
    about: str

    @property
    def takes(self) -> str:
        """What is allowed."""
        return f"a whole number from {self.low} to {self.high}"

    def parse(self, value: object, field: str) -> int:
        """The number; see `Form.parse`."""
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # in JSON Schema 5.0 is an integer
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(field, value, self.takes)
        if not self.low <= value <= self.high:
            refuse(field, value, self.takes)
        return value

    def schema(self) -> dict[str, Any]:
        """JSON Schema of it."""
        return {
            "type": "integer",
            "minimum": self.low,
            "maximum": self.high,
            "description": self.about,
        }


@dataclass(frozen=True, slots=True)
class UnitIds:
    """A list of unit ids, or labels, each once; canonical as a tuple: ids ascending, then labels.

    Whether the recording has such units is known only when a `Perturber` is made for it.
    """

    about: str
    most: int = 10_000

    @property
    def takes(self) -> str:
        """What is allowed."""
        return f"a list of 1 to {self.most} different unit ids, whole numbers, or unit labels"

    def parse(self, value: object, field: str) -> tuple[int | str, ...]:
        """The ids, ascending, then the labels; see `Form.parse`."""
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= self.most:
            refuse(field, value, self.takes)
        labels = sorted(label for label in value if isinstance(label, str))
        ids = sorted(
            _UNIT_ID.parse(unit_id, f"{field}[{position}]")
            for position, unit_id in enumerate(value)
            if not isinstance(unit_id, str)
        )
        if len({*ids, *labels}) < len(value) or any(len(label) > _MOST_LABEL for label in labels):
            refuse(field, value, self.takes)
        return (*ids, *labels)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of it."""
        return {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "integer", "minimum": _UNIT_ID.low, "maximum": _UNIT_ID.high},
                    {"type": "string", "maxLength": _MOST_LABEL},
                ]
            },
            "minItems": 1,
            "maxItems": self.most,
            "uniqueItems": True,
            "description": self.about,
        }


_UNIT_ID = Whole(-(2**63), 2**64 - 1, "id of a unit")
_MOST_LABEL = 200


def refuse(field: str, value: object, takes: str) -> NoReturn:
    """Say what came and what is allowed.

    Raises:
        InvalidParameterError: always.
    """
    raise InvalidParameterError(f"{field}: got {shown(value)}, takes {takes}")


def shown(value: object) -> str:
    """A value as a message shows it: texts in quotes, the rest as JSON, cut where it is long."""
    if isinstance(value, str):
        return repr(_cut(value))
    try:
        return _cut(json.dumps(value))
    except RecursionError:
        return "what is nested too deeply"
    except (TypeError, ValueError):
        return _cut(repr(value))  # TOML has dates


def listed(names: Iterable[str]) -> str:
    """Names as a message lists them."""
    return ", ".join(names)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
