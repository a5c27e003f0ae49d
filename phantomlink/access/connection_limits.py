"""How many may listen at once: in all, to one session, from one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from phantomlink.errors import TooManyClientsError


class ConnectionLimits:
    """Counts the WebSocket clients that there are; the memory is theirs.

    Args:
        max_clients: in all.
        max_per_session: of one session.
        max_per_address: from one address.
    """

    def __init__(self, max_clients: int, max_per_session: int, max_per_address: int) -> None:
        self._max_clients = max_clients
        self._max_per_session = max_per_session
        self._max_per_address = max_per_address
        self.n_clients = 0
        self._of_session: Counter[str] = Counter()
        self._from_address: Counter[str] = Counter()

    def check(self, address: str, code: str | None) -> None:
        """Whether one more may come.

        Args:
            address: whose it is.
            code: of the session that it listens to; None for one that only watches.

        Raises:
            TooManyClientsError: there is no room; its status says whether it is that of this
                address (429) or of everybody (503).
        """
        if self._from_address[address] >= self._max_per_address:
            _refuse(429, f"from {address}", self._max_per_address, "CLIENTS_PER_ADDRESS")
        if self.n_clients >= self._max_clients:
            _refuse(503, "in all", self._max_clients, "CLIENTS")
        if code is not None and self._of_session[code] >= self._max_per_session:
            _refuse(503, "of this session", self._max_per_session, "CLIENTS_PER_SESSION")

    @contextmanager
    def counted(self, address: str, code: str | None) -> Iterator[None]:
        """Count one, who has been checked, until it has left."""
        counts = [(self._from_address, address)]
        if code is not None:
            counts.append((self._of_session, code))
        self.n_clients += 1
        for counter, key in counts:
            counter[key] += 1
        try:
            yield
        finally:
            self.n_clients -= 1
            for counter, key in counts:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]


def _refuse(status: int, which: str, limit: int, setting: str) -> None:
    raise TooManyClientsError(
        f"WebSocket clients {which}: there are {limit} already, takes {limit} at once "
        f"(PHANTOM_MAX_{setting})",
        status,
    )
