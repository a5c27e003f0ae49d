"""The first message of a WebSocket connection: what the stream is, and what it shows now."""

from __future__ import annotations

import msgspec

from phantomlink.engine.session import Session
from phantomlink.outputs.websocket.admission import Admission
from phantomlink.rest.stream_metadata import stream_metadata
from phantomlink.service.service import Service
from phantomlink.wire.encoder import WireFormat, encode_message
from phantomlink.wire.packet import packet_data, without


class MetadataMessages:
    """Makes the first message of every connection.

    Args:
        service: the running service.
        base_url: how the client called the server: scheme, host and port for WebSockets.
    """

    def __init__(self, service: Service, base_url: str) -> None:
        self._service = service
        self._base_url = base_url

    async def __call__(self, session: Session, admission: Admission) -> bytes | str:
        """The metadata message, with a snapshot of the packet at the playhead.

        Raises:
            RecordingError: that packet cannot be read.
        """
        service = self._service
        release = await session.playback(admission.filter).peek()
        packet = without(release.packet, admission.hide) if admission.hide else release.packet
        header = session.parts.encoders.header
        compact = admission.wire_format is WireFormat.COMPACT
        timestamp = session.parts.clock.wall_seconds()
        message = {
            "type": "metadata",
            "data": msgspec.to_builtins(stream_metadata(service, session))
            | packet_data(packet, header, timestamp, compact=compact),
            "session": {
                "code": session.code,
                "url": f"{self._base_url}/stream/{session.code}",
            },
        }
        return encode_message(message, admission.wire_format)
