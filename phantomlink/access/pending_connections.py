"""Connections whose first request has not been let in yet: each costs a descriptor and a task.

Whoever has been let in is counted elsewhere (`ConnectionLimits`, `RequestRates`). Who only connects
and says nothing, or begins a head and never ends it, is counted here until its deadline.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from phantomlink.access.request_identity import address_key

logger = logging.getLogger(__name__)

_SAY_AGAIN_SECONDS = 60.0


class PendingConnections:
    """Counts them, in all and by address.

    Args:
        max_in_all: that there may be.
        max_per_address: from one address.
        now: monotonic time, s.
    """

    def __init__(
        self, max_in_all: int, max_per_address: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_in_all = max_in_all
        self._max_per_address = max_per_address
        self._now = now
        self._from_address: Counter[str] = Counter()
        self._said_at: float | None = None
        self.n_pending = 0

    @contextmanager
    def counted(self, peer: str | None) -> Iterator[Callable[[], None] | None]:
        """Count one connection until its first request is let in or it ends.

        Args:
            peer: its other end; None where it is not known.

        Yields:
            What to call once a request of it is let in; None when there is no room and the
            connection has to be closed at once.
        """
        address = address_key(peer)
        if self._is_full(address):
            yield None
            return
        self.n_pending += 1
        self._from_address[address] += 1
        is_pending = True

        def settle() -> None:
            nonlocal is_pending
            if is_pending:
                is_pending = False
                self.n_pending -= 1
                self._from_address[address] -= 1
                if not self._from_address[address]:
                    del self._from_address[address]

        try:
            yield settle
        finally:
            settle()

    def _is_full(self, address: str) -> bool:
        if self.n_pending >= self._max_in_all:
            which, limit, setting = "in all", self._max_in_all, "CONNECTIONS"
        elif self._from_address[address] >= self._max_per_address:
            which, limit = f"from {address}", self._max_per_address
            setting = "CONNECTIONS_PER_ADDRESS"
        else:
            return False
        now = self._now()
        if self._said_at is None or now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            logger.warning(
                "Connections are closed unanswered: %d %s have sent no whole request yet "
                "(PHANTOM_MAX_PENDING_%s)",
                *(limit, which, setting),
            )
        return True
