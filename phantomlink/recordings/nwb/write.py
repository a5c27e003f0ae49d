"""Writes an NWB file from pynwb's objects."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

if TYPE_CHECKING:
    from pynwb import NWBFile


@contextmanager
def repeatable_ids(name: str) -> Iterator[None]:
    """Give the objects that are made meanwhile ids that are the same the next time.

    hdmf draws them at random, with no way to say them but this one; a test compares two files.

    Args:
        name: of what is made: another one has other ids.
    """
    import hdmf.container  # noqa: PLC0415

    made = itertools.count()

    def next_id() -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"phantomlink synthetic {name} {next(made)}")

    drawn = hdmf.container.uuid4
    hdmf.container.uuid4 = next_id
    try:
        yield
    finally:
        hdmf.container.uuid4 = drawn


def write_file(path: Path, nwb: NWBFile) -> None:
    """Write with plain contiguous datasets, as the real recordings have.

    HDF5 builds the file in memory and Python writes it: when the disk is full, HDF5 does not only
    fail, it can take the process down as it cleans up.

    Raises:
        OSError: the file cannot be written.
    """
    from hdmf.utils import get_docval  # noqa: PLC0415
    from pynwb import NWBHDF5IO  # noqa: PLC0415

    # Newer versions make columns that can grow, unless told; older ones cannot be told.
    known = {argument["name"] for argument in get_docval(NWBHDF5IO.write)}
    options = {"expandable": ()} if "expandable" in known else {}
    # The file in memory only has a name because pynwb wants one that ends in .nwb.
    name = f"{path.name}.nwb"
    with h5py.File(name, "w", driver="core", backing_store=False, block_size=2**24) as file:
        # Closing the io closes the file too, and with it goes all that is in memory.
        io = NWBHDF5IO(path=name, file=file, mode="w")
        io.write(nwb, **options)
        file.flush()
        image = file.id.get_file_image()
        io.close()
    with path.open("xb") as out:
        out.write(image)
