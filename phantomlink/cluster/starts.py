"""How often workers may be started in place of others that have ended."""

from __future__ import annotations

from collections import deque

import trio

from phantomlink.errors import PhantomLinkError

MOST_STARTS = 5
"""Starts in place of others in `STARTS_SECONDS`; with more, the server ends."""
STARTS_SECONDS = 60.0


class Starts:
    """Those of all workers of a server."""

    def __init__(self) -> None:
        self._at: deque[float] = deque()

    def check(self) -> None:
        """One more is about to be.

        Raises:
            PhantomLinkError: there are too many.
        """
        now = trio.current_time()
        self._at.append(now)
        while self._at[0] < now - STARTS_SECONDS:
            self._at.popleft()
        if len(self._at) > MOST_STARTS:
            raise PhantomLinkError(
                f"{len(self._at)} processes have ended within {STARTS_SECONDS:g} s: the server "
                "ends; the lines above say how"
            )
