"""Which of several processes may make a session. With one process, it may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from phantomlink.engine.session import Session

Keep = Callable[[Session], None]
"""Says that the session has been made, or was found."""


class Ownership(Protocol):
    """Asked before a session is made."""

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

    @asynccontextmanager
    async def reserved(self, code: str) -> AsyncIterator[Keep]:
        """As `Ownership.reserved`: nobody else can have it."""
        yield _keep_nothing


def _keep_nothing(session: Session) -> None:
    """There is nobody to tell."""
