"""Sums over every session that there has been: what ends takes nothing away from them.

A session that has ended goes on counting while its last connections close. Until then it is read
as the others are; afterwards its figures are added to those of all that have gone. So a sum never
goes back, whatever ends between two readings.
"""

from __future__ import annotations

from collections.abc import Iterable

from phantomlink.engine.counters import Counters
from phantomlink.engine.session import Session


class Ledger:
    """The figures of the sessions that have gone, and those that are going."""

    def __init__(self) -> None:
        self._gone = Counters()
        self._going: list[Session] = []

    def ended(self, session: Session) -> None:
        """A session has left the registry."""
        self._going.append(session)
        self.settle()

    def open(self, sessions: Iterable[Session]) -> tuple[Counters, list[Session]]:
        """Begin a reading.

        Args:
            sessions: those that are there.

        Returns:
            The sums of those that have gone, to which the reader adds each session of the list
            (`SessionCounters.add_to`).
            It may take its time: what ends in the meantime is in the list or in the sums, once.
        """
        self.settle()
        sums = Counters()
        sums.add(self._gone)
        return sums, [*self._going, *sessions]

    def settle(self) -> None:
        """Let go of the sessions that are over; their figures stay."""
        still_going = []
        for session in self._going:
            if session.is_over:
                session.counters.add_to(self._gone)
            else:
                still_going.append(session)
        self._going = still_going
