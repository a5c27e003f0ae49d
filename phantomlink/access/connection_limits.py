"""How many may listen at once: in all, to one session, from one address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from phantomlink.errors import TooManyClientsError


class ConnectionLimits:
    """Counts the WebSocket clients that there are; the memory is theirs.

    Args:
        max_clients: in all.
        max_per_session: of one session.
        max_per_address: from one address.

    Attributes:
        n_clients: that there are in this process.
        after_change: called with an address and how many of its clients this process has; None
            where no other process counts them, too.
    """

    def __init__(self, max_clients: int, max_per_session: int, max_per_address: int) -> None:
        self._max_clients = max_clients
        self._max_per_session = max_per_session
        self._max_per_address = max_per_address
        self.n_clients = 0
        self._of_session: Counter[str] = Counter()
        self._from_address: Counter[str] = Counter()
        # Of each other process, from each address.
        self._elsewhere: dict[str, dict[str, int]] = {}
        self.after_change: Callable[[str, int], None] | None = None

    def check(self, address: str, code: str | None) -> None:
        """Whether one more may come.

        Args:
            address: whose it is.
            code: of the session that it listens to; None for one that only watches.

        Raises:
            TooManyClientsError: there is no room; its status says whether it is that of this
                address (429) or of everybody (503).
        """
        others = self._elsewhere.values()
        n_from = self._from_address[address] + sum(each.get(address, 0) for each in others)
        if n_from >= self._max_per_address:
            _refuse(429, f"from {address}", self._max_per_address, "CLIENTS_PER_ADDRESS")
        if self.n_clients + sum(sum(each.values()) for each in others) >= self._max_clients:
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
        self._tell(address)
        try:
            yield
        finally:
            self.n_clients -= 1
            for counter, key in counts:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
            self._tell(address)

    def count_elsewhere(self, node: str, address: str, n_clients: int) -> None:
        """Another process has so many clients from an address."""
        counts = self._elsewhere.setdefault(node, {})
        counts[address] = n_clients
        if not n_clients:
            del counts[address]

    def forget_elsewhere(self, nodes: Collection[str]) -> None:
        """There are no other processes than these."""
        self._elsewhere = {node: each for node, each in self._elsewhere.items() if node in nodes}

    def _tell(self, address: str) -> None:
        if self.after_change is not None:
            self.after_change(address, self._from_address[address])


def _refuse(status: int, which: str, limit: int, setting: str) -> None:
    raise TooManyClientsError(
        f"WebSocket clients {which}: there are {limit} already, takes {limit} at once "
        f"(PHANTOM_MAX_{setting})",
        status,
    )
