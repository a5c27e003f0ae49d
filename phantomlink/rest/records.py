"""Records that cross the wire: how they are declared, and the values that many of them share.

A record is a frozen msgspec struct. What its fields say in the OpenAPI document stands beside their
types, by `about`. Durations are seconds unless a name says `_ms`, times are ISO 8601 UTC, and a
figure that was not measured is None, never 0.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar, cast

import msgspec

from phantomlink.perturbation import SEEDS

CODE_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
SCHEMA_REFERENCE = "#/components/schemas/{name}"


class Record(msgspec.Struct, frozen=True):
    """The base of every record."""


def about(description: str = "", example: Any = None, **schema: Any) -> msgspec.Meta:
    """What the document says of a value.

    Args:
        description: with its unit.
        example: of the value.
        schema: further keywords of JSON Schema, which nobody checks: bounds that the engine knows
            better, such as those of a recording. A bound in a `msgspec.Meta` of its own is
            documented and checked.
    """
    return msgspec.Meta(
        description=description or None,
        examples=None if example is None else [example],
        extra_json_schema=schema or None,
    )


def component(name: str) -> msgspec.Meta:
    """Any value, described by a schema that is not that of a record."""
    return msgspec.Meta(extra_json_schema={"$ref": SCHEMA_REFERENCE.format(name=name)})


SessionCode = Annotated[
    str,
    about("1 to 64 letters, digits, '-' or '_'", "swift-neural-42", pattern=CODE_PATTERN),
]
Seed = Annotated[int, about("of the perturbation", 7, minimum=SEEDS.low, maximum=SEEDS.high)]
Moment = Annotated[str, about("", "2026-01-01T00:00:00.025Z", format="date-time")]
Now = Annotated[str, about("now", "2026-01-01T00:00:00.025Z", format="date-time")]
BinSizeMs = Annotated[float, about("width of a bin", 25.0)]
Speed = Annotated[float, about("times faster than recorded", 1.0)]
FrequencyHz = Annotated[float, about("packets a second", 40.0)]
PositionSeconds = Annotated[
    float, about("start of current_packet, from the start of the recording", 30.85)
]
PerturbationJson = Annotated[Any, component("Perturbation")]
Perturbed = Annotated[PerturbationJson, about("what is done; null: nothing")]
PerturbationId = Annotated[
    str | None, about("names perturbation and seed in every packet; null: none", "3f9a1c2b4d5e")
]


class Problem(Record, frozen=True):
    """Problem details (RFC 9457).

    `type` is always about:blank; `title` tells errors of one status apart.
    """

    type: Literal["about:blank"]
    title: Annotated[str, about("kind of error", "Outside the recording")]
    status: Annotated[int, about("the HTTP status", 422)]
    detail: Annotated[
        str, about("what came and what is allowed", "packet_id: got 99999, takes 0 to 11746")
    ]


_Encoded = TypeVar("_Encoded", bound=Record)


def encoded(record: _Encoded) -> _Encoded:
    """The record as JSON already, to stand in its place in another one.

    The encoder never yields: what is long is encoded piece by piece.
    """
    return cast(_Encoded, msgspec.Raw(encode_json(record)))


def encode_json(value: Any) -> bytes:
    """A record, or whatever else JSON can say."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        # The name of a file that is not Unicode; msgspec knows no escapes for it.
        return json.dumps(msgspec.to_builtins(value), allow_nan=False).encode()


def iso(moment: datetime) -> str:
    """A time as ISO 8601 UTC, in milliseconds, with Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_now() -> str:
    """The time now."""
    return iso(datetime.now(UTC))


def number(value: Fraction) -> int | float:
    """A whole rate as a whole number: clients with types read it as either."""
    return value.numerator if value.denominator == 1 else float(value)
