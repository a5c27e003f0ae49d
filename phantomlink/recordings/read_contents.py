"""Contents of a recording that are wholly in memory, and how one process gives them to another.

Numbers go beside the pickle as they are (PEP 574): whoever receives them reads them straight into
their place, without holding up the interpreter's other threads. That is one array for all: numpy
asks for huge pages for a large one, and to get so much memory in small ones took longer than to
fill it.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Mapping
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
        stream.write(bytes(_room_of(part.nbytes) - part.nbytes))
    stream.flush()


def receive(read_into: Callable[[memoryview], int | None]) -> Any:
    """Read a value that `send` of a process of ours has written; blocks.

    Args:
        read_into: reads as many bytes as there is room for, or fewer; answers how many, 0 or None
            at the end.

    Raises:
        EOFError: the stream ends before the value does.
    """
    (n_parts,) = _LENGTH.unpack(_filled(bytearray(_LENGTH.size), read_into))
    lengths = struct.unpack(f"<{n_parts}Q", _filled(bytearray(n_parts * _LENGTH.size), read_into))
    rooms = [*map(_room_of, lengths)]
    # Not a bytearray: to clear it first would hold up the other threads, for megabytes.
    content = _filled(np.empty(sum(rooms), dtype=np.uint8).data, read_into)
    starts = accumulate(rooms, initial=0)
    head, *buffers = (
        content[start : start + length] for start, length in zip(starts, lengths, strict=False)
    )
    return pickle.loads(head, buffers=buffers)


def _room_of(length: int) -> int:
    return -(-length // _ALIGNED_BYTES) * _ALIGNED_BYTES


def _filled(
    content: bytearray | memoryview, read_into: Callable[[memoryview], int | None]
) -> memoryview:
    whole = view = memoryview(content)
    length = len(view)
    while view:
        count = read_into(view)
        if not count:
            raise EOFError(f"{len(view)} of {length} bytes are missing")
        view = view[count:]
    return whole
