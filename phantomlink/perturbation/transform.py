"""What all transforms have in common, and rules between parameters that some of them have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation.forms import listed, refuse

LONGEST_SECONDS = 31_536_000
"""Times and periods end at a year."""

LONGEST_CELL_SECONDS = 86_400
"""Times that are cut into cells end at a day: a place in a cell, times 32 random bits, fits 64."""


@dataclass(frozen=True, slots=True)
class Transform:
    """One kind of thing that goes wrong.

    Attributes:
        kind: its name.
        code: part of the key of its random bits, so never to be changed.
    """

    kind: ClassVar[str]
    code: ClassVar[int]

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing, by its parameters alone."""
        return False

    @classmethod
    def check(cls, values: Mapping[str, object], field: str) -> None:
        """Refuse parameters that are right one by one but not together.

        Args:
            values: those that were given, each in its canonical form.
            field: what to call the transform in messages.

        Raises:
            InvalidParameterError: they do not fit.
        """

    @classmethod
    def schema_rules(cls) -> dict[str, Any]:
        """What `check` holds, as JSON Schema where that can say it."""
        return {}


def check_one_of(values: Mapping[str, object], names: Sequence[str], field: str) -> None:
    """Exactly one of these parameters is given.

    Raises:
        InvalidParameterError: none is, or several.
    """
    given = [name for name in names if name in values]
    if len(given) != 1:
        came = " and ".join(given) or "none of them"
        raise InvalidParameterError(f"{field}: got {came}, takes one of {listed(names)}")


def one_of_schema(names: Sequence[str]) -> dict[str, Any]:
    """What `check_one_of` holds, as JSON Schema; null is not given."""
    return {
        "oneOf": [
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names
        ]
    }


def check_room(
    values: Mapping[str, Any], length_name: str, default_seconds: float, field: str
) -> None:
    """What begins `rate_hz` times a second has room for its length.

    Raises:
        InvalidParameterError: it would take more than all of the time.
    """
    seconds = values.get(length_name, default_seconds)
    if values["rate_hz"] * seconds > 1:
        refuse(
            f"{field}.rate_hz",
            values["rate_hz"],
            f"a number from 0 to {1 / seconds:g}, one in each {length_name} of {seconds:g}",
        )
