"""Whether the inlets of a session count as a listener: pure.

LSL says of an outlet only whether any inlet is connected, so an arrival is an outlet that had
none and now has one. After a stop, or the end of the recording, inlets stay connected, and must
not start the session again by that: they are held until it is resumed, until another listener
starts it, or until an inlet arrives.
"""

from __future__ import annotations

from collections.abc import Sequence


class ConsumerPresence:
    """What is known of the inlets of a session, by outlet."""

    def __init__(self) -> None:
        self._connected: tuple[bool, ...] = ()
        self._expected: frozenset[int] = frozenset()
        self.is_held = False

    def look(self, connected: Sequence[bool]) -> bool:
        """Whether the inlets listen, when these outlets have any."""
        now = tuple(connected)
        before = self._connected or (False,) * len(now)
        arrived = {
            n for n, (was, is_now) in enumerate(zip(before, now, strict=True)) if is_now > was
        }
        if arrived - self._expected:
            self.is_held = False
        self._expected -= arrived
        self._connected = now
        return any(now) and not self.is_held

    def hold(self, connected: Sequence[bool]) -> None:
        """The session has been stopped, or has ended, while these outlets had inlets."""
        self.look(connected)
        self.is_held = True

    def release(self) -> None:
        """The session has been started again."""
        self.is_held = False

    def remade(self) -> None:
        """The outlets are other ones now: inlets that come back to them have not arrived anew."""
        self._expected = frozenset(n for n, was in enumerate(self._connected) if was)
        self._connected = ()
