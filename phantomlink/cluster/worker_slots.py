"""What there may be of in all workers together: each slot is a byte of a file without a name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

from phantomlink.files.slots import SharedSlots, SlotKind, Slots

_KINDS = get_args(SlotKind)
_MOST_OF_A_KIND = 2**20


@contextmanager
def slots_file() -> Iterator[int]:
    """Descriptor of the file, which the parent makes and the workers inherit."""
    descriptor = os.memfd_create("phantomlink-slots")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def slots_of(descriptor: int, kind: SlotKind, limit: int) -> Slots:
    """Those of one kind, for a worker."""
    return SharedSlots(descriptor, _KINDS.index(kind) * _MOST_OF_A_KIND, limit)
