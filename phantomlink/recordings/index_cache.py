"""The cache file of a spike index: where it lies, its form, and whether it may be believed.

    magic      16 bytes
    header     its length and CRC-32, then JSON, padded to HEADER_BYTES in all
    blocks     BLOCK_SPIKES times (float64, s), then as many units (uint16 or uint32), each block;
               spikes ascend by (time, unit), the last block is padded
    directory  for each block: its first time (float64) and its CRC-32 (uint32)

All numbers are little-endian. The header says which recording it is of (path, size, time of last
change) and how long everything is; a file in which anything of that is off is not used but made
again. A block that was damaged later is found by its CRC when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import RecordingError
from phantomlink.files.regular import open_regular

VERSION = 1
MAGIC = b"PhantomLinkSpike"
HEADER_BYTES = 16384
"""Paths may be 4096 bytes long, and JSON may take 6 characters for one."""
BLOCK_SPIKES = 4096
DIRECTORY = np.dtype([("seconds", "<f8"), ("crc", "<u4")])
_PREFIX = struct.Struct("<16sII")
_moving = threading.Lock()


@dataclass(frozen=True, slots=True)
class Source:
    """Which recording an index is of; another one when any of it differs.

    Attributes:
        path: absolute.
        size: bytes.
        mtime_ns: time of the last change.
        spike_times_path, index_path: where in the file the spikes are.
        seconds_per_stored: factor from what is stored to seconds.
    """

    path: str
    size: int
    mtime_ns: int
    spike_times_path: str
    index_path: str
    seconds_per_stored: float = 1.0

    @classmethod
    def of(
        cls, path: Path, spike_times_path: str, index_path: str, seconds_per_stored: float = 1.0
    ) -> Source:
        """What the recording is now.

        Raises:
            RecordingError: it is not there.
        """
        try:
            status = path.stat()
            absolute = str(path.resolve())
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read: {error.strerror}") from error
        return cls(
            absolute,
            status.st_size,
            status.st_mtime_ns,
            spike_times_path,
            index_path,
            seconds_per_stored,
        )


@dataclass(frozen=True, slots=True)
class Header:
    """What is in the file, and how long it must therefore be.

    Attributes:
        source: the recording it is of.
        n_spikes: of all units together.
        n_units: units are 0 to n_units - 1, rows of the unit table.
        last_seconds: time of the last spike; None without spikes.
        directory_crc: CRC-32 of the directory.
        version: of this form.
        block_spikes: spikes in a block.
    """

    source: Source
    n_spikes: int
    n_units: int
    last_seconds: float | None
    directory_crc: int
    version: int = VERSION
    block_spikes: int = BLOCK_SPIKES

    @property
    def n_blocks(self) -> int:
        """Blocks, the last of which may be padded."""
        return -(-self.n_spikes // BLOCK_SPIKES)

    @property
    def block(self) -> np.dtype[np.void]:
        """Type of one block."""
        return block_type(self.n_units)

    @property
    def directory_offset(self) -> int:
        """Where the directory starts, bytes."""
        return HEADER_BYTES + self.n_blocks * self.block.itemsize

    @property
    def file_bytes(self) -> int:
        """Length of the whole file."""
        return self.directory_offset + self.n_blocks * DIRECTORY.itemsize

    def packed(self) -> bytes:
        """HEADER_BYTES bytes."""
        text = json.dumps(asdict(self)).encode()
        head = _PREFIX.pack(MAGIC, len(text), zlib.crc32(text)) + text
        if len(head) > HEADER_BYTES:
            raise RecordingError(f"{self.source.path}: its path is too long for an index")
        return head.ljust(HEADER_BYTES, b"\0")

    @classmethod
    def unpacked(cls, head: bytes) -> Header | None:
        """The header in these bytes; None when they are damaged or of another version."""
        if len(head) != HEADER_BYTES:
            return None
        magic, length, crc = _PREFIX.unpack_from(head)
        text = head[_PREFIX.size : _PREFIX.size + length]
        if magic != MAGIC or len(text) != length or zlib.crc32(text) != crc:
            return None
        said = json.loads(text)
        if said.get("version") != VERSION or said.get("block_spikes") != BLOCK_SPIKES:
            return None
        return cls(**{**said, "source": Source(**said["source"])})


def block_type(n_units: int) -> np.dtype[np.void]:
    """A block as a structure of `seconds` and `units`; two bytes a unit where that is enough."""
    unit = "<u2" if n_units <= 2**16 else "<u4"
    return np.dtype([("seconds", "<f8", BLOCK_SPIKES), ("units", unit, BLOCK_SPIKES)])


def index_bytes(n_spikes: int, n_units: int) -> int:
    """Length of the index of so many spikes."""
    return Header(Source("", 0, 0, "", ""), n_spikes, n_units, None, 0).file_bytes


def places(path: Path, cache_dir: Path) -> tuple[Path, Path]:
    """Where the index of a recording may be: beside it, or else in the cache directory."""
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]
    return (
        path.parent / f".{path.name}.phantomlink-index",
        cache_dir / f"{path.name[:64]}-{name}.phantomlink-index",
    )


def open_cached(place: Path, source: Source) -> tuple[IO[bytes], Header, NDArray[np.void]] | None:
    """Open an index if it is there, whole and of this recording as it is now.

    Returns:
        The file, which is the caller's to close, its header and its directory; or None.
    """
    try:
        file = open_regular(place)
    except OSError:
        return None
    try:
        found = _checked(file, source)
    except OSError:
        found = None
    if found is None:
        file.close()
        return None
    return (file, *found)


def _read_at(file: IO[bytes], size: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    # Windows has none: one thread at a time moves the position, and puts it back.
    with _moving:
        at = file.tell()
        file.seek(offset)
        part = file.read(size)
        file.seek(at)
        return part


def read_exactly(file: IO[bytes], size: int, offset: int) -> bytes:
    """Read a stretch of a file without moving its position, for any number of threads.

    Never a memory map: a page fault holds the interpreter for as long as the disk takes, and one
    on a file that was cut short kills the process.

    Raises:
        OSError: it cannot be read, or the file ends before.
    """
    parts = []
    while size:
        part = _read_at(file, size, offset)
        if not part:
            raise OSError(f"the file ends {size} bytes early")
        parts.append(part)
        size -= len(part)
        offset += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _checked(file: IO[bytes], source: Source) -> tuple[Header, NDArray[np.void]] | None:
    size = os.fstat(file.fileno()).st_size
    if size < HEADER_BYTES:
        return None
    header = Header.unpacked(read_exactly(file, HEADER_BYTES, 0))
    if header is None or header.source != source or header.file_bytes != size:
        return None
    raw = read_exactly(file, size - header.directory_offset, header.directory_offset)
    if zlib.crc32(raw) != header.directory_crc:
        return None
    return header, np.frombuffer(raw, dtype=DIRECTORY)
