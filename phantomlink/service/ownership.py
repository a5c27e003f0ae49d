"""Which of several processes may make a session. With one process, it may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from phantomlink.engine.session import Session

Keep = Callable[[Session], None]
"""Says that the session has been made, or was found."""


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Which of the processes that serve sessions together one is.

    Attributes:
        name: of the process.
        epoch: that it writes records of its sessions with; 0 where there are none.
    """

    name: str
    epoch: int


class Ownership(Protocol):
    """Asked before a session is made.

    Attributes:
        node: this process.
    """

    node: NodeIdentity

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

    node = NodeIdentity("0", 0)

    @asynccontextmanager
    async def reserved(self, code: str) -> AsyncIterator[Keep]:
        """As `Ownership.reserved`: nobody else can have it."""
        yield _keep_nothing


def _keep_nothing(session: Session) -> None:
    """There is nobody to tell."""
