"""A capture as an XDF file: what LabRecorder would have written of the session's LSL outlets.

A file is `XDF:` and a row of chunks, each with its length (one byte that says how many bytes the
length has, then those), a tag (u16) and its content, little-endian. Here are the headers first,
then samples, for each stream those of ten seconds at a time, then a boundary, by which a reader
finds its way in a file that is damaged; at the end the footers. Stamps are the deadlines of
packets, as in LSL. Packets that were lost on purpose are not in it, and those that were sent twice
are in it twice.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from phantomlink.captures.records import CONTROL_MARKERS, Control, Header, Marker, Record, Sent
from phantomlink.errors import CaptureError
from phantomlink.files.atomic_write import written_atomically
from phantomlink.files.shown import TEXT_CHARACTERS, shown
from phantomlink.wire.packet import Packet

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _BOUNDARY, _STREAM_FOOTER = range(1, 7)
_BOUNDARY_ID = uuid.UUID("43a546dc-cbf5-410f-b30e-d5467383cbe4").bytes
_CHUNK_SECONDS = 10.0
_DTYPES = {"int32": np.dtype("<i4"), "float32": np.dtype("<f4")}
_STAMPED = b"\x08"


def write_xdf(path: Path, header: Header, records: Iterable[Record], *, overwrite: bool) -> int:
    """Write a capture; answers how many samples of its neural stream there are.

    Args:
        path: of the file.
        header: of the capture.
        records: of it, as they lie in the journal.
        overwrite: whether a file that is there is replaced.

    Raises:
        CaptureError: the capture does not say what its streams were.
        FileExistsError: there is a file, and `overwrite` is false.
        OSError: it cannot be written.
    """
    if not header.streams:
        raise CaptureError("the capture does not say what its LSL streams were: it has no XDF form")
    with written_atomically(path, overwrite=overwrite) as part, part.open("xb") as file:
        return _XdfWriter(file, header).write(records)


class _Stream:
    """Samples of one stream that wait for their chunk, and what the footer says of all."""

    def __init__(self, number: int, said: Mapping[str, Any]) -> None:
        self.id = struct.pack("<I", number)
        self.said = said
        self.dtype = _DTYPES.get(said["channel_format"])
        self.first: float | None = None
        self.last = -np.inf
        self.n_samples = 0
        self._waiting: list[bytes] = []

    def add(self, stamp: float, values: Sequence[Any] | NDArray[Any] | str) -> None:
        """One sample; stamps of a stream never step back."""
        self.last = stamp = max(stamp, self.last)
        if self.first is None:
            self.first = stamp
        self.n_samples += 1
        if isinstance(values, str):
            text = values.encode()
            data = _length(len(text)) + text
        else:
            # None becomes NaN in an array of floats.
            data = np.array(values, self.dtype).tobytes()
        self._waiting.append(_STAMPED + struct.pack("<d", stamp) + data)

    def take(self) -> bytes:
        """The content of a chunk of what waits; nothing where nothing does."""
        waiting, self._waiting = self._waiting, []
        return self.id + _length(len(waiting)) + b"".join(waiting) if waiting else b""


class _XdfWriter:
    def __init__(self, file: BinaryIO, header: Header) -> None:
        self._file = file
        self._header = header
        self._streams = {
            said["kind"]: _Stream(number, said) for number, said in enumerate(header.streams, 1)
        }
        self._chunk_began: float | None = None

    def write(self, records: Iterable[Record]) -> int:
        self._file.write(b"XDF:")
        self._chunk(_FILE_HEADER, _xml("info", {"version": "1.0"}))
        for stream in self._streams.values():
            self._chunk(_STREAM_HEADER, stream.id + self._stream_header(stream.said))
        stamp = 0.0
        for record in records:
            if isinstance(record, Sent):
                stamp = record.deadline_ns / 1e9
                self._due(stamp)
                for _ in range(record.delivered):
                    self._packet(stamp, record.packet)
            elif isinstance(record, Marker):
                self._marker(record.at_ns, record.text)
            elif isinstance(record, Control) and record.what in CONTROL_MARKERS:
                self._marker(record.at_ns, record.what)
        self._samples()
        for stream in self._streams.values():
            self._clock_offset(stream, stamp)
        for stream in self._streams.values():
            self._chunk(_STREAM_FOOTER, stream.id + _footer(stream))
        return self._streams["neural"].n_samples

    def _packet(self, stamp: float, packet: Packet) -> None:
        aim = packet.intention
        streams = self._streams
        streams["neural"].add(stamp, packet.spike_counts)
        streams["kinematics"].add(stamp, (packet.vx, packet.vy, packet.x, packet.y))
        streams["intention"].add(
            stamp, (aim.target_id, aim.target_x, aim.target_y, packet.trial_id)
        )

    def _marker(self, at_ns: int, text: str) -> None:
        self._streams["markers"].add(at_ns / 1e9, text)

    def _due(self, stamp: float) -> None:
        if self._chunk_began is None:
            self._chunk_began = stamp
            for stream in self._streams.values():
                self._clock_offset(stream, stamp)
        elif stamp - self._chunk_began >= _CHUNK_SECONDS:
            self._chunk_began = stamp
            self._samples()
            self._chunk(_BOUNDARY, _BOUNDARY_ID)

    def _samples(self) -> None:
        for stream in self._streams.values():
            if data := stream.take():
                self._chunk(_SAMPLES, data)

    def _clock_offset(self, stream: _Stream, stamp: float) -> None:
        # Stamps and the capture's clock are one.
        self._chunk(_CLOCK_OFFSET, stream.id + struct.pack("<dd", stamp, 0.0))

    def _chunk(self, tag: int, content: bytes) -> None:
        self._file.write(_length(len(content) + 2) + struct.pack("<H", tag) + content)

    def _stream_header(self, said: Mapping[str, Any]) -> bytes:
        header = self._header
        channels = [
            (
                "channel",
                {"label": label, "unit": unit, "type": type_}
                if unit is not None
                else {"label": label, "type": type_},
            )
            for label, unit, type_ in said["channels"]
        ]
        return _xml(
            "info",
            {
                "name": said["name"],
                "type": said["type"],
                "channel_count": str(len(channels)),
                "nominal_srate": f"{said['nominal_rate_hz']:.12g}",
                "channel_format": said["channel_format"],
                "source_id": said["source_id"],
                "version": "1.1",
                "created_at": f"{header.clock[1] / 1e9:.9f}",
                "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, header.capture_id + said["source_id"])),
                "session_id": "default",
                "hostname": "phantomlink",
                "desc": [("channels", channels), *said["desc"]],
            },
        )


def _footer(stream: _Stream) -> bytes:
    first, last = (0.0, 0.0) if stream.first is None else (stream.first, stream.last)
    return _xml(
        "info",
        {
            "first_timestamp": f"{first:.9f}",
            "last_timestamp": f"{last:.9f}",
            "sample_count": str(stream.n_samples),
        },
    )


def _length(n: int) -> bytes:
    """A length, and before it how many bytes it has."""
    return struct.pack("<BB", 1, n) if n < 256 else struct.pack("<BI", 4, n)


def _xml(name: str, content: Any) -> bytes:
    text: bytes = ElementTree.tostring(_node(name, content), encoding="utf-8", xml_declaration=True)
    return text


def _node(name: str, content: Any) -> ElementTree.Element:
    """A node of a text, or of further nodes: [name, content] each."""
    node = ElementTree.Element(name)
    if isinstance(content, str):
        # XML has no way to write most control characters: one makes a header unreadable.
        node.text = shown(content, TEXT_CHARACTERS)
        return node
    children = content.items() if isinstance(content, Mapping) else content
    node.extend(_node(child, inner) for child, inner in children)
    return node
