"""Sums over every session that there has been: what ends takes nothing away from them.

A session that has ended goes on counting while its last connections close. Until then it is read
as the others are; afterwards its figures are added to those of all that have gone. So a sum never
goes back, whatever ends between two readings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from phantomlink.engine.session import Session
from phantomlink.engine.timing import TimingSums
from phantomlink.metrics import Histogram

WEBSOCKET = "websocket"
"""The transport of a sink that names none with an attribute `transport`."""


class Sums:
    """What sessions have counted, together.

    Attributes:
        timing: of their ticks.
        send: from a packet's offer to a WebSocket client to its having been taken.
        sent: packets by transport, one for each client that had it.
        dropped: packets that slow clients lost.
        slow_clients: clients that lost any.
    """

    __slots__ = ("dropped", "send", "sent", "slow_clients", "timing")

    def __init__(self) -> None:
        self.timing = TimingSums()
        self.send = Histogram()
        self.sent: Counter[str] = Counter()
        self.dropped = 0
        self.slow_clients = 0

    def add(self, session: Session) -> None:
        """Count also what this session has, about 30 us."""
        self.timing.add(session.gone_timing)
        for playback in session.playbacks().values():
            self.timing.add(playback.timing)
        self.send.merge(session.send_latency)
        self.sent[WEBSOCKET] += session.send_latency.count
        self.sent.update(session.sent_otherwise)
        self.dropped += session.dropped_packets
        self.slow_clients += session.slow_clients

    def copy(self) -> Sums:
        """The same, of its own."""
        copy = Sums()
        copy.timing.add(self.timing)
        copy.send.merge(self.send)
        copy.sent.update(self.sent)
        copy.dropped = self.dropped
        copy.slow_clients = self.slow_clients
        return copy


class Ledger:
    """The figures of the sessions that have gone, and those that are going."""

    def __init__(self) -> None:
        self._gone = Sums()
        self._going: list[Session] = []

    def ended(self, session: Session) -> None:
        """A session has left the registry."""
        self._going.append(session)
        self._settle()

    def open(self, sessions: Iterable[Session]) -> tuple[Sums, list[Session]]:
        """Begin a reading.

        Args:
            sessions: those that are there.

        Returns:
            The sums of those that have gone, to which the reader adds each session of the list.
            It may take its time: what ends in the meantime is in the list or in the sums, once.
        """
        self._settle()
        return self._gone.copy(), [*self._going, *sessions]

    def _settle(self) -> None:
        still_going = []
        for session in self._going:
            if session.is_over:
                self._gone.add(session)
            else:
                still_going.append(session)
        self._going = still_going
