"""What a stream has said so far: packets out of messages, predictions into messages. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, SupportsFloat

import msgpack

from phantomlink.client.errors import MessageError, StreamChangedError
from phantomlink.client.gaps import Gaps
from phantomlink.client.packet import Packet, StreamInfo, decode, read_info, read_packet

_DECODER = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)


class Receiver:
    """Reads the messages of a stream, over one connection after another.

    Args:
        decoder: name of the predictions that are sent; None for one that the server makes up.

    Raises:
        ValueError: the decoder's name has the wrong form.

    Attributes:
        gaps: what came, and what did not.
        last_score: the `data` of the last `scored` message; None before there is one.
    """

    def __init__(self, decoder: str | None = None) -> None:
        self._decoder = _check_decoder(decoder)
        self._info: StreamInfo | None = None
        self._is_first = True
        self._previous: Packet | None = None
        self.gaps = Gaps()
        self.last_score: Mapping[str, Any] | None = None

    @property
    def info(self) -> StreamInfo:
        """What the stream is, by the last message that said so."""
        assert self._info is not None
        return self._info

    def connected(self) -> None:
        """What is fed next comes over a new connection."""
        self._is_first = True
        self._previous = None
        self.gaps.reconnected()

    def feed(self, raw: bytes | str) -> Packet | None:
        """Take a message; answer the packet that it is, if it is one.

        Raises:
            MessageError: it cannot be read, or the first one is no metadata.
            StreamChangedError: the stream is of another recording than before.
        """
        received_at = time.time()
        kind, message = decode(raw)
        if kind == "metadata":
            self._take_info(read_info(message))
            self._is_first = False
        elif self._is_first:
            raise MessageError(f"the first message is {kind!r}, not the metadata")
        elif kind == "data":
            return self._take_packet(message, received_at)
        elif kind == "scored":
            self.last_score = message.get("data")
        return None

    def _take_info(self, info: StreamInfo) -> None:
        before = self._info
        if before is not None:
            was, now = ((each.dataset, each.unit_ids, each.bin_size_ms) for each in (before, info))
            if was != now:
                raise StreamChangedError(
                    f"the stream was {before.dataset!r} ({before.n_units} units, bins of "
                    f"{before.bin_size_ms:g} ms) and is now {info.dataset!r} ({info.n_units} "
                    f"units, {info.bin_size_ms:g} ms): fit again, and connect anew"
                )
        self._info = info

    def _take_packet(self, message: Mapping[str, Any], received_at: float) -> Packet:
        try:
            data = message["data"]
            number, packet_id, loop = data["sequence_number"], data["packet_id"], data["loop"]
        except (KeyError, TypeError) as error:
            raise MessageError(f"a packet lacks something: {error!r}") from error
        before = self._previous
        packet = read_packet(
            message,
            received_at=received_at,
            is_next_bin=before is not None
            and (packet_id, loop) == (before.packet_id + 1, before.loop),
            lost_before=self.gaps.add(number),
        )
        self._previous = packet
        return packet

    def prediction(
        self,
        packet: Packet,
        vx: SupportsFloat | None,
        vy: SupportsFloat | None,
        x: SupportsFloat | None,
        y: SupportsFloat | None,
        decoder: str | None,
    ) -> bytes:
        """A prediction as a message, in MessagePack.

        Raises:
            ValueError: neither a velocity nor a position is given whole, or the decoder's name
                has the wrong form.
        """
        if (vx is None) != (vy is None) or (x is None) != (y is None) or (vx is None and x is None):
            raise ValueError("a prediction: takes vx and vy, or x and y, or all four")
        values = {"vx": vx, "vy": vy, "x": x, "y": y}
        data: dict[str, Any] = {
            "packet_id": packet.packet_id,
            "loop": packet.loop,
            "sequence_number": packet.sequence_number,
            "received_at": packet.received_at,
            "sent_at": time.time(),
        }
        data |= {name: float(value) for name, value in values.items() if value is not None}
        name = self._decoder if decoder is None else _check_decoder(decoder)
        if name is not None:
            data["decoder"] = name
        packed: bytes = msgpack.packb({"type": "prediction", "data": data})
        return packed


def _check_decoder(name: str | None) -> str | None:
    if name is not None and not _DECODER.match(name):
        raise ValueError(f"decoder: got {name!r}, takes 1 to 64 letters, digits, - or _")
    return name
