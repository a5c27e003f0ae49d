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

from phantomlink.wire.packet import Packet, StreamHeader

# They differ from client to client, and from one playing to the next.
NOT_IN_PAYLOAD = frozenset({"timestamp", "sequence_number", "decoded"})

_LEADING_ZEROS = re.compile(r"e([+-])0+")


def canonical_payload(data: Mapping[str, Any]) -> bytes:
    """The bytes of one packet that a digest is made of.

    Args:
        data: `data` of the packet's message, as received.

    Returns:
        All of it but `NOT_IN_PAYLOAD` as canonical JSON, and a newline.
    """
    kept = {name: value for name, value in data.items() if name not in NOT_IN_PAYLOAD}
    return canonical_json(kept).encode() + b"\n"


class PayloadEncoder:
    """Canonical payloads of the packets of one stream, in a third of the time.

    The bytes are those that `canonical_payload` makes of `packet_data`: a test compares.
    """

    def __init__(self, header: StreamHeader) -> None:
        self._before_counts = (
            f'"spikes":{{"bin_size_ms":{canonical_json(header.bin_size_ms)},'
            f'"channel_ids":{canonical_json(header.channel_ids)},"spike_counts":['
        )

    def encode(self, packet: Packet) -> bytes:
        """The canonical payload of a packet."""
        value, intention, perturbed = canonical_json, packet.intention, packet.perturbation_id
        text = (
            f'{{"intention":{{"distance_to_target":{value(intention.distance_to_target)},'
            f'"reach_id":{value(intention.reach_id)},"target_id":{value(intention.target_id)},'
            f'"target_x":{value(intention.target_x)},"target_y":{value(intention.target_y)}}},'
            f'"kinematics":{{"vx":{value(packet.vx)},"vy":{value(packet.vy)},'
            f'"x":{value(packet.x)},"y":{value(packet.y)}}},'
            f'"loop":{packet.loop},'
            + ("" if packet.observed else '"observed":false,')
            + f'"packet_id":{packet.packet_id},'
            + ("" if perturbed is None else f'"perturbation_id":{value(perturbed)},')
            + self._before_counts
            + ",".join(map(str, packet.spike_counts.tolist()))
            + f']}},"trial_id":{value(packet.trial_id)},'
            f'"trial_time_ms":{value(packet.trial_time_ms)}}}\n'
        )
        return text.encode()


def canonical_json(value: Any) -> str:
    """A value of JSON as RFC 8785 has it.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    if value is None:
        return "null"
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
