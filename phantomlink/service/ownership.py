"""Which of several processes may make a session. With one process, it may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from phantomlink.engine.fence import Fence
from phantomlink.engine.session import Session
from phantomlink.files.slots import LocalSlots, SlotKind, Slots

NodeState = Literal["up", "static", "gone"]
"""`static`: the directory is away for all; `gone`: for this node alone, others take over."""
Keep = Callable[[Session], None]
"""Says that the session has been made, or was found."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Which of the processes that serve sessions together one is.

    Attributes:
        name: of the process.
        epoch: that it writes records of its sessions with; 0 where there are none.
        state: how it and the directory of the nodes stand.
        clock_offset_ns: time of all nodes less that of its machine.
    """

    name: str
    epoch: int
    state: NodeState = "up"
    clock_offset_ns: int = 0


class Ownership(Protocol):
    """Asked before a session is made."""

    @property
    def fence(self) -> Fence | None:
        """Until when packets may leave; None: always."""
        ...

    @property
    def node(self) -> NodeIdentity:
        """This process."""
        ...

    def slots(self, kind: SlotKind, limit: int) -> Slots:
        """As many of a kind as there may be at once."""
        ...

    def reserved(self, code: str) -> AbstractAsyncContextManager[Keep]:
        """Have a code for this process in here, and for good once a session of it is kept.

        Raises:
            SessionElsewhereError: another process has it.
            TooManySessionsError: there is no room in all of them.
            UnavailableError: nobody has it for the time being.
        """
        ...


class SoleOwnership:
    """That of a server of one process."""

    fence = None

    @property
    def node(self) -> NodeIdentity:
        """The only one."""
        return NodeIdentity("0", 0)

    def slots(self, kind: SlotKind, limit: int) -> Slots:
        """As `Ownership.slots`."""
        return LocalSlots(limit)

    @asynccontextmanager
    async def reserved(self, code: str) -> AsyncIterator[Keep]:
        """As `Ownership.reserved`: nobody else can have it."""
        yield _keep_nothing


def _keep_nothing(session: Session) -> None:
    """There is nobody to tell."""
