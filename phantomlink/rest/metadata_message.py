"""The metadata message of a WebSocket connection: what the stream is, and what it shows now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import msgspec

from phantomlink.engine.fanout import Release
from phantomlink.engine.session import Session
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.outputs.websocket.admission import Admission
from phantomlink.rest.stream_metadata import stream_metadata
from phantomlink.service.service import Service
from phantomlink.wire.encoder import WireFormat, encode_message
from phantomlink.wire.packet import packet_data, without


class MetadataMessage:
    """One message, of the stream as it is when this is made; encoded when first waited for.

    Waiting raises RecordingError where the packet of its snapshot cannot be read.

    Args:
        service: the running service.
        session: whose stream it is.
        admission: what was decided about the client.
        base_url: how the client called the server: scheme, host and port for WebSockets.
    """

    def __init__(
        self, service: Service, session: Session, admission: Admission, base_url: str
    ) -> None:
        self._wire_format = admission.wire_format
        self._hide = admission.hide
        self._scores = scores_of(session) if admission.decoded else None
        self._header = session.parts.encoders.header
        self._timestamp = session.parts.clock.wall_seconds()
        self._metadata = stream_metadata(service, session)
        self._session = {"code": session.code, "url": f"{base_url}/stream/{session.code}"}
        self._snapshot: Callable[[], Awaitable[Release]]
        self._snapshot = session.playback(admission.filter).peek_later()
        self._encoded: bytes | str | None = None

    def __await__(self) -> Generator[Any, Any, bytes | str]:
        return self._encode().__await__()

    async def _encode(self) -> bytes | str:
        if self._encoded is None:
            packet = (await self._snapshot()).packet
            if self._hide:
                packet = without(packet, self._hide)
            if self._scores is not None:
                packet = self._scores.with_decoded(packet)
            compact = self._wire_format is WireFormat.COMPACT
            message = {
                "type": "metadata",
                "data": msgspec.to_builtins(self._metadata)
                | packet_data(packet, self._header, self._timestamp, compact=compact),
                "session": self._session,
            }
            self._encoded = encode_message(message, self._wire_format)
        return self._encoded


class MetadataMessages:
    """Makes the metadata messages of a connection.

    Args:
        service: the running service.
        base_url: how the client called the server: scheme, host and port for WebSockets.
    """

    def __init__(self, service: Service, base_url: str) -> None:
        self._service = service
        self._base_url = base_url

    def __call__(self, session: Session, admission: Admission) -> MetadataMessage:
        """The first message, with a snapshot of the packet at the playhead."""
        return MetadataMessage(self._service, session, admission, self._base_url)

    def news(self, session: Session, admission: Admission) -> MetadataMessage:
        """The message of a stream that has just changed: one for all who would get the same."""
        key = (admission.filter, admission.form, admission.decoded, self._base_url)
        message = session.shared_news.get(key)
        if not isinstance(message, MetadataMessage):
            message = session.shared_news[key] = self(session, admission)
        return message
