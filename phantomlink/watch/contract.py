"""The shape of the messages, as the contract has it, and what is wrong with one. Pure.

More members than these are fine: what is new is added beside what is here. So are messages of
other types.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack


@dataclass(frozen=True, slots=True)
class _Form:
    """What a value must be: a test, and the words for it."""

    accepts: Callable[[Any], bool]
    takes: str

    def or_null(self) -> _Form:
        return _Form(lambda value: value is None or self.accepts(value), f"{self.takes} or null")


def _is_integer(value: Any) -> bool:
    return type(value) is int


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


_COUNT = _Form(lambda value: _is_integer(value) and value >= 0, "a whole number from 0")
_POSITIVE_COUNT = _Form(lambda value: _is_integer(value) and value > 0, "a whole number from 1")
_NUMBER = _Form(_is_number, "a number")
_NOT_NEGATIVE = _Form(lambda value: _is_number(value) and value >= 0, "a number from 0")
_POSITIVE = _Form(lambda value: _is_number(value) and value > 0, "a number above 0")
_TEXT = _Form(lambda value: isinstance(value, str) and value != "", "a text")
_INTEGERS = _Form(
    lambda value: isinstance(value, list) and all(map(_is_integer, value)),
    "a list of whole numbers",
)
_COUNTS = _Form(
    lambda value: _INTEGERS.accepts(value) and (not value or min(value) >= 0),
    "a list of whole numbers from 0",
)

METADATA_FORM: Mapping[str, _Form] = {
    "dataset": _TEXT,
    "total_packets": _POSITIVE_COUNT,
    "frequency_hz": _POSITIVE,
    "num_channels": _POSITIVE_COUNT,
    "channel_count": _POSITIVE_COUNT,
    "duration_seconds": _POSITIVE,
    "num_trials": _COUNT,
    "bin_size_ms": _POSITIVE,
    "channel_ids": _INTEGERS,
}
SESSION_FORM: Mapping[str, _Form] = {"code": _TEXT, "url": _TEXT}
SPIKES_FORM: Mapping[str, _Form] = {
    "channel_ids": _INTEGERS,
    "spike_counts": _COUNTS,
    "bin_size_ms": _POSITIVE,
}
_BYTES_A_UNIT = {"u1": 1, "<u2": 2}
COMPACT_SPIKES_FORM: Mapping[str, _Form] = {
    "counts": _Form(lambda value: isinstance(value, bytes), "bytes"),
    "dtype": _Form(lambda value: value in _BYTES_A_UNIT, '"u1" or "<u2"'),
    "bin_size_ms": _POSITIVE,
}
KINEMATICS_FORM: Mapping[str, _Form] = {name: _NUMBER.or_null() for name in ("vx", "vy", "x", "y")}
INTENTION_FORM: Mapping[str, _Form] = {
    "target_id": _COUNT.or_null(),
    "target_x": _NUMBER.or_null(),
    "target_y": _NUMBER.or_null(),
    "distance_to_target": _NOT_NEGATIVE.or_null(),
    "reach_id": _COUNT.or_null(),
}
PACKET_FORM: Mapping[str, _Form] = {
    "packet_id": _COUNT,
    "sequence_number": _COUNT,
    "timestamp": _POSITIVE,
    "trial_id": _COUNT.or_null(),
    "trial_time_ms": _NOT_NEGATIVE.or_null(),
    "loop": _COUNT,
}
PACKET_PARTS: Mapping[str, Mapping[str, _Form]] = {
    "spikes": SPIKES_FORM,
    "kinematics": KINEMATICS_FORM,
    "intention": INTENTION_FORM,
}


class UndecodableError(ValueError):
    """A message is neither MessagePack nor JSON of the right kind; the text says how."""


def decode_message(raw: bytes | str) -> dict[str, Any]:
    """One message: MessagePack when it came as binary, JSON when it came as text.

    Raises:
        UndecodableError: it cannot be decoded, or is not an object with a `type`.
    """
    try:
        if isinstance(raw, str):
            message = json.loads(raw, parse_constant=_refuse_constant)
        else:
            message = msgpack.unpackb(raw)
    except (ValueError, msgpack.UnpackException) as error:
        form = "JSON" if isinstance(raw, str) else "MessagePack"
        raise UndecodableError(f"a message is not {form}: {error}") from error
    if not isinstance(message, dict):
        raise UndecodableError(f"a message is {shown(message)}, not an object")
    if not isinstance(message.get("type"), str):
        raise UndecodableError(f"a message has the type {shown(message.get('type'))}")
    return message


def metadata_problems(message: Mapping[str, Any]) -> list[str]:
    """What is missing or wrong in the first message; empty when it is complete."""
    data = message.get("data")
    problems = _form_problems("data", data, METADATA_FORM)
    problems += _form_problems("session", message.get("session"), SESSION_FORM)
    if problems:
        return problems
    assert isinstance(data, dict)
    n_channels = data["num_channels"]
    if data["channel_count"] != n_channels:
        problems.append(f"channel_count is {data['channel_count']}, num_channels {n_channels}")
    if len(data["channel_ids"]) != n_channels:
        problems.append(f"{len(data['channel_ids'])} channel_ids for {n_channels} channels")
    if not math.isclose(data["bin_size_ms"] * data["frequency_hz"], 1000, rel_tol=1e-4):
        problems.append(
            f"bins of {data['bin_size_ms']} ms at {data['frequency_hz']} Hz are not real time"
        )
    snapshot = packet_problems(data, data["channel_ids"])
    return problems + [f"snapshot of a packet: {problem}" for problem in snapshot]


def packet_problems(data: Any, channel_ids: list[int] | None) -> list[str]:
    """What is wrong with the `data` of a packet; empty when it has the contract's shape.

    Args:
        data: of the message.
        channel_ids: that the metadata announced; None where there were none.
    """
    problems = _form_problems("data", data, PACKET_FORM)
    if not isinstance(data, dict):
        return problems
    is_compact = isinstance(data.get("spikes"), dict) and "counts" in data["spikes"]
    spikes_form = COMPACT_SPIKES_FORM if is_compact else SPIKES_FORM
    for name, form in {**PACKET_PARTS, "spikes": spikes_form}.items():
        problems += _form_problems(name, data.get(name), form)
    if problems:
        return problems
    problems += (_compact_problems if is_compact else _spikes_problems)(data["spikes"], channel_ids)
    if (data["trial_id"] is None) != (data["trial_time_ms"] is None):
        problems.append(
            f"trial_id is {shown(data['trial_id'])} while trial_time_ms is "
            f"{shown(data['trial_time_ms'])}"
        )
    if data["trial_id"] is None:
        problems += [
            f"intention.{name} is {shown(value)} outside trials, not null"
            for name, value in data["intention"].items()
            if name in INTENTION_FORM and value is not None
        ]
    return problems


def readable(packet: Mapping[str, Any]) -> dict[str, Any]:
    """A packet for JSON: the counts of a compact one as numbers.

    Args:
        packet: `data` of the message, without problems.
    """
    spikes = packet["spikes"]
    if "counts" not in spikes:
        return dict(packet)
    counts, width = spikes["counts"], _BYTES_A_UNIT[spikes["dtype"]]
    numbers = [
        int.from_bytes(counts[at : at + width], "little") for at in range(0, len(counts), width)
    ]
    return {**packet, "spikes": {**spikes, "counts": numbers}}


def shown(value: Any) -> str:
    """A value in a few letters, as JSON has it."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _spikes_problems(spikes: dict[str, Any], channel_ids: list[int] | None) -> list[str]:
    problems = []
    if len(spikes["spike_counts"]) != len(spikes["channel_ids"]):
        problems.append(
            f"{len(spikes['spike_counts'])} spike_counts for "
            f"{len(spikes['channel_ids'])} channel_ids"
        )
    if channel_ids is not None and spikes["channel_ids"] != channel_ids:
        problems.append("channel_ids are not those of the metadata")
    return problems


def _compact_problems(spikes: dict[str, Any], channel_ids: list[int] | None) -> list[str]:
    n_bytes, width = len(spikes["counts"]), _BYTES_A_UNIT[spikes["dtype"]]
    if channel_ids is None or n_bytes == width * len(channel_ids):
        return []
    return [f"{n_bytes} bytes of counts for {len(channel_ids)} channel_ids, {width} each"]


def _form_problems(name: str, value: Any, form: Mapping[str, _Form]) -> list[str]:
    if not isinstance(value, dict):
        return [f"{name} is {shown(value)}, not an object"]
    problems = []
    for key, wanted in form.items():
        where = key if name == "data" else f"{name}.{key}"
        if key not in value:
            problems.append(f"{where} is missing")
        elif not wanted.accepts(value[key]):
            problems.append(f"{where} is {shown(value[key])}, takes {wanted.takes}")
    return problems


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
