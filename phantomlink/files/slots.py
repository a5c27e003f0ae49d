"""How many of something there may be at once, in one process or in all that share a file."""

from __future__ import annotations

from typing import Literal, Protocol

try:
    import fcntl
except ImportError:  # Windows, where one process serves
    fcntl = None  # type: ignore[assignment]


SlotKind = Literal["captures", "fits", "lsl"]
"""Captures and fits that run, and sessions with LSL outlets."""


class Slots(Protocol):
    """As many as there may be."""

    @property
    def limit(self) -> int:
        """Of them, in all processes."""
        ...

    def use(self, n: int) -> bool:
        """Have so many in this process, which has had more or fewer.

        False where others leave no room: then this process has as many as before.
        """
        ...


class LocalSlots:
    """Those of one process.

    Args:
        limit: as many as there may be.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def use(self, n: int) -> bool:
        """As `Slots.use`."""
        return n <= self.limit


class SharedSlots:
    """Those of several processes: each slot is a byte of a file, which who has it locks.

    The system lets go of the locks of a process that ends, however it does.

    Args:
        descriptor: of the file, which this process opens no second time.
        first: byte of it.
        limit: as many as there may be.
    """

    def __init__(self, descriptor: int, first: int, limit: int) -> None:
        self.limit = limit
        self._descriptor = descriptor
        self._slots = range(first, first + limit)
        self._held: list[int] = []

    def use(self, n: int) -> bool:
        """As `Slots.use`."""
        before = len(self._held)
        free = iter([slot for slot in self._slots if slot not in self._held])
        while len(self._held) < n:
            slot = next(free, None)
            if slot is None:
                self._shrink(before)
                return False
            if self._lock(slot):
                self._held.append(slot)
        self._shrink(n)
        return True

    def _lock(self, slot: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except BlockingIOError:
            return False
        return True

    def _shrink(self, n: int) -> None:
        while len(self._held) > n:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, self._held.pop())
