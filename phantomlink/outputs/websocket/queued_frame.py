"""One place in the order in which a connection's bytes are written."""

from __future__ import annotations

from dataclasses import dataclass

import trio


@dataclass(slots=True, eq=False)
class QueuedFrame:
    """Bytes that wait, or will be made while what comes behind them waits.

    Attributes:
        data: what has not been written yet.
        droppable: whether it is a packet, which goes when there is no room.
        offered_ns: when it was offered, monotonic ns; None for what is no packet.
        done: set when it has been written, or never will be.
        is_held: whether it is still being made.
    """

    data: memoryview
    droppable: bool
    offered_ns: int | None = None
    done: trio.Event | None = None
    is_held: bool = False
