"""Connections that another process of the same server goes on with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import trio

from phantomlink.rest.dispatch import Answering
from phantomlink.rest.request import RequestHead


@dataclass(frozen=True, slots=True)
class InnerConnection:
    """What a connection of another process of this server is for.

    Attributes:
        peer: address of the client whose request it passes on.
        dispatch: answers it, from this process alone.
    """

    peer: str
    dispatch: Answering


class Handover(Protocol):
    """What the front asks where several processes serve one port."""

    async def belongs_here(self, head: RequestHead) -> bool:
        """Whether this process may answer a request that followed another on its connection."""
        ...

    async def settle(self, head: RequestHead) -> None:
        """Wait until the session that a request names is here, where it is about to be."""
        ...

    def hand_over(self, stream: trio.SocketStream, received: bytes, node: str | None) -> None:
        """Let another process have a connection; the caller closes its own end.

        Args:
            stream: the connection.
            received: every byte of the request, and behind it, that has been read.
            node: which process; None where that is not known here.
        """
        ...
