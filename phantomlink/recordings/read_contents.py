"""Contents of a recording that are wholly in memory, and how one process gives them to another.

Numbers go beside the pickle as they are (PEP 574): whoever receives them reads them straight into
their place, without holding up the interpreter's other threads. That is one array for all: numpy
asks for huge pages for a large one, and to get so much memory in small ones took longer than to
fill it.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from phantomlink.recordings.anomalies import Anomaly
from phantomlink.recordings.bins import Block
from phantomlink.recordings.contents import BehaviourSource, Contents, RecordingInfo, UnitTable
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.spikes import SpikeSource
from phantomlink.recordings.targets import TargetColumns
from phantomlink.recordings.trials import TrialTable

_LENGTH = struct.Struct("<Q")
# Of where each part begins: a cache line's, more than any number needs.
_ALIGNED_BYTES = 64


@dataclass(frozen=True, slots=True, eq=False)
class ReadContents:
    """What was read of a file that is closed; see `phantomlink.recordings.contents.Contents`.

    Attributes:
        blocks: all bins, by rate; what is played first is not to be computed by who plays it.
    """

    identity: FileIdentity
    info: RecordingInfo
    units: UnitTable
    trials: TrialTable
    target_columns: TargetColumns
    behaviour: BehaviourSource
    spikes: SpikeSource
    anomalies: tuple[Anomaly, ...]
    linked_paths: tuple[Path, ...]
    blocks: Mapping[Fraction, Block] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: Contents) -> ReadContents | None:
        """The same contents without their file; None where some of them are still read from it."""
        if not (contents.spikes.in_memory and contents.behaviour.in_memory):
            return None
        return cls(
            identity=contents.identity,
            info=contents.info,
            units=contents.units,
            trials=contents.trials,
            target_columns=contents.target_columns,
            behaviour=contents.behaviour,
            spikes=contents.spikes,
            anomalies=contents.anomalies,
            linked_paths=contents.linked_paths,
        )

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Nothing is read."""
        return nullcontext()

    def check(self) -> None:
        """No file is open."""

    def close(self) -> None:
        """No file is open."""


def send(value: Any, stream: BinaryIO) -> None:
    """Write a value, the numbers in it as they are."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    lengths = [len(parts), *(part.nbytes for part in parts)]
    stream.write(b"".join(map(_LENGTH.pack, lengths)))
    for part in parts:
        stream.write(part)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read a value that `send` of a process of ours has written; blocks.

    Raises:
        EOFError: the stream ends before it does.
    """
    (n_parts,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    lengths = struct.unpack(f"<{n_parts}Q", _exactly(stream, n_parts * _LENGTH.size))
    rooms = [-(-length // _ALIGNED_BYTES) * _ALIGNED_BYTES for length in lengths]
    # Not a bytearray: to clear it first would hold up the other threads, for megabytes.
    room = np.empty(sum(rooms), dtype=np.uint8).data
    parts = []
    for start, length in zip(accumulate(rooms, initial=0), lengths, strict=False):
        parts.append(room[start : start + length])
        _fill(parts[-1], stream)
    head, *buffers = parts
    return pickle.loads(head, buffers=buffers)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    content = bytearray(length)
    _fill(memoryview(content), stream)
    return bytes(content)


def _fill(view: memoryview, stream: BinaryIO) -> None:
    length = len(view)
    while view:
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError(f"{len(view)} of {length} bytes are missing")
        view = view[count:]
