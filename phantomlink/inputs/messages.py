"""Messages of clients: `{"type": ..., "data": ...}` in MessagePack or JSON."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import msgspec

from phantomlink.scoring import Prediction, is_decoder_name


class MalformedMessageError(ValueError):
    """A message is not what its type says."""


class _Data(msgspec.Struct, frozen=True):
    packet_id: int
    loop: int | None = None
    sequence_number: int | None = None
    vx: float | None = None
    vy: float | None = None
    x: float | None = None
    y: float | None = None
    decoder: str | None = None
    received_at: float | None = None
    sent_at: float | None = None


class _PredictionMessage(msgspec.Struct, frozen=True, tag_field="type", tag="prediction"):
    data: _Data


_MSGPACK = msgspec.msgpack.Decoder(_PredictionMessage)
_JSON = msgspec.json.Decoder(_PredictionMessage)


class PredictionMessage(NamedTuple):
    """A prediction that has come in.

    Attributes:
        prediction: what it says.
        decoder: who says it; None: the connection's own name.
        received_at, sent_at: Unix s by the client's clock, for captures; None where not told.
    """

    prediction: Prediction
    decoder: str | None
    received_at: float | None
    sent_at: float | None


def parse_message(payload: bytes, *, is_text: bool) -> PredictionMessage | None:
    """What a client's message says.

    Args:
        payload: of the message.
        is_text: JSON; else MessagePack.

    Returns:
        None for a message of another type, which is ignored.

    Raises:
        MalformedMessageError: it is no message, or no prediction.
    """
    try:
        message = (_JSON if is_text else _MSGPACK).decode(payload)
    except (msgspec.DecodeError, RecursionError):
        found = _slowly(payload, is_text=is_text)
        if found is None:
            return None
        message = found
    said = message.data
    if said.decoder is not None and not is_decoder_name(said.decoder):
        raise MalformedMessageError(f"decoder: got {said.decoder!r}")
    if said.vx is None and said.vy is None and said.x is None and said.y is None:
        raise MalformedMessageError("takes vx and vy, or x and y")
    values = _number(said.vx), _number(said.vy), _number(said.x), _number(said.y)
    prediction = Prediction(said.packet_id, values, said.loop, said.sequence_number)
    return PredictionMessage(prediction, said.decoder, said.received_at, said.sent_at)


def _number(value: float | None) -> float:
    """NaN where nothing is said, and infinity for what is said and is not finite."""
    if value is None:
        return math.nan
    return value if math.isfinite(value) else math.inf


def _slowly(payload: bytes, *, is_text: bool) -> _PredictionMessage | None:
    """A message that is no plain prediction: of another type, or with JSON's NaN, or malformed."""
    try:
        # Python's JSON takes NaN and Infinity, which many clients write.
        message: Any = json.loads(payload) if is_text else msgspec.msgpack.decode(payload)
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise MalformedMessageError(f"is not {'JSON' if is_text else 'MessagePack'}") from error
    if not isinstance(message, dict):
        raise MalformedMessageError("is no object")
    if message.get("type") != "prediction":
        return None
    try:
        return msgspec.convert(message, _PredictionMessage)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MalformedMessageError(str(error)) from error
