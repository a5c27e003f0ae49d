"""Lets clients with liblsl's own configuration find every outlet of this machine.

Such a client (LabRecorder, MNE-LSL) asks multicast groups, which in machine scope nobody hears,
and 127.0.0.1, port 16571. All outlets of a machine share that port, and Linux gives a datagram to
one socket of them: it finds one outlet. A socket that is bound to exactly 127.0.0.1 goes before
those that are bound to every address, whenever they were made. So one of ours takes the queries
and sends each on, unchanged, to the ports at which outlets are asked one by one. They answer to
the address that it came from and the port that it names: to the client, directly.

Other programs' outlets, from which this takes the queries, have theirs as well: all of the ports
that liblsl uses by default are sent to. Where two servers do this, the later one does it for both.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

import trio

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
QUERY_PORT = 16571
DEFAULT_PORTS = range(16572, 16605)
"""Where liblsl puts the service ports of outlets if it is not told otherwise."""
MOST_BYTES = 2048
MOST_A_SECOND = 50
# Some microseconds each: a tick that is due does not wait for all.
_SENT_AT_ONCE = 8


class QueryBudget:
    """How many queries are sent on: a flood is not multiplied by the number of ports."""

    def __init__(self, most_a_second: int = MOST_A_SECOND) -> None:
        self._most = most_a_second
        self._second = -1
        self._n = 0

    def take(self, now_seconds: float) -> bool:
        """Whether one more may be sent on."""
        second = int(now_seconds)
        if second != self._second:
            self._second, self._n = second, 0
        self._n += 1
        return self._n <= self._most


class DiscoveryRelay:
    """Sends the queries for streams that come to this machine's common port on to all outlets.

    Args:
        query_port: of UDP; another for tests.
        default_ports: to which each query goes.
    """

    def __init__(
        self, query_port: int = QUERY_PORT, default_ports: Iterable[int] = DEFAULT_PORTS
    ) -> None:
        self._query_port = query_port
        self._default_ports = tuple(default_ports)
        self._own_ports: Counter[int] = Counter()
        self._budget = QueryBudget()

    def add(self, ports: Iterable[int]) -> None:
        """Outlets of this server are asked at these ports."""
        self._own_ports.update(ports)

    def discard(self, ports: Iterable[int]) -> None:
        """They are not any more."""
        self._own_ports -= Counter(ports)

    async def run(self) -> None:
        """Send on until cancelled; where the port cannot be had, say so and return."""
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            try:
                sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
                await sock.bind((LOOPBACK, self._query_port))
                await self._relay(sock)
            except OSError as error:
                logger.warning(
                    "LSL clients without a configuration may find only some of the streams: UDP "
                    "port %d cannot be used (%s)",
                    *(self._query_port, error.strerror or error),
                )

    async def _relay(self, sock: trio.socket.SocketType) -> None:
        while True:
            query, (host, _) = await sock.recvfrom(MOST_BYTES + 1)
            is_ours = host.startswith("127.") and len(query) <= MOST_BYTES
            if is_ours and self._budget.take(trio.current_time()):
                await self._send_on(sock, query)

    async def _send_on(self, sock: trio.socket.SocketType, query: bytes) -> None:
        ports = dict.fromkeys((*self._default_ports, *self._own_ports))
        for n, port in enumerate(ports):
            if n % _SENT_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            try:
                await sock.sendto(query, (LOOPBACK, port))
            except OSError as error:
                logger.debug("A query could not be sent on to port %d: %s", port, error)
