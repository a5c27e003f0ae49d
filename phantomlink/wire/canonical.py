"""One canonical form of what a packet says, so that two who hold the same can know it by a hash.

It is the JSON Canonicalization Scheme (RFC 8785): members sorted by name, no spaces, UTF-8, and
numbers as ECMAScript writes them. MessagePack keeps 25 and 25.0 apart and JSON need not, so the
scheme writes both as 25, and whoever received a packet in either form comes to the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# They differ from client to client, and from one playing to the next.
NOT_IN_PAYLOAD = frozenset({"timestamp", "sequence_number"})

_LEADING_ZEROS = re.compile(r"e([+-])0+")


def canonical_payload(data: Mapping[str, Any]) -> bytes:
    """The bytes of one packet that a digest is made of.

    Args:
        data: `data` of the packet's message, as received.

    Returns:
        All of it but timestamp and sequence number as canonical JSON, and a newline.
    """
    kept = {name: value for name, value in data.items() if name not in NOT_IN_PAYLOAD}
    return canonical_json(kept).encode() + b"\n"


def canonical_json(value: Any) -> str:
    """A value of JSON as RFC 8785 has it.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    if isinstance(value, dict):
        # Names of ours are ASCII, for which the order of UTF-16 code units is this one.
        members = (f"{_text(name)}:{canonical_json(value[name])}" for name in sorted(value))
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        if set(map(type, value)) == {int}:
            return json.dumps(value, separators=(",", ":"))
        return "[" + ",".join(map(canonical_json, value)) + "]"
    return _number(value) if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """As ECMAScript's Number::toString: Python's digits, another place for the exponent."""
    if value == 0:
        return "0"
    text = json.dumps(value, allow_nan=False).removesuffix(".0")
    if "e" not in text:
        return text
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(text), "f")
    return _LEADING_ZEROS.sub(r"e\1", text)
