"""When a node plays a session itself that another node owns, and when no longer. Pure.

Enough viewers make it a mirror; with less than half as many for a while it ends. After one that has
failed the node waits before it tries again, longer each time, and as at first once one has lasted.
"""

from __future__ import annotations

_FEW_SECONDS = 10.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 5.0, 300.0
_LASTED_SECONDS = 60.0


class Demand:
    """For one session.

    Args:
        n_viewers: that make a mirror; 0: never.
    """

    def __init__(self, n_viewers: int) -> None:
        self._n_viewers = n_viewers
        self._wait_seconds = _FIRST_WAIT_SECONDS
        self._not_before = float("-inf")
        self._began: float | None = None
        self._enough_at = float("-inf")

    @property
    def is_met(self) -> bool:
        """Whether there is a mirror, or about to be."""
        return self._began is not None

    def begins(self, n_viewers: int, now: float) -> bool:
        """Whether there is to be a mirror from now on. Once it says so, it is met.

        Args:
            n_viewers: that the node has.
            now: the time, s.
        """
        if self.is_met or not self._n_viewers or now < self._not_before:
            return False
        if n_viewers < self._n_viewers:
            return False
        self._began = self._enough_at = now
        return True

    def ends(self, n_viewers: int, now: float) -> bool:
        """Whether there are too few viewers, and were for a while; then it is no longer met."""
        if not self.is_met:
            return False
        if 2 * n_viewers >= self._n_viewers:
            self._enough_at = now
        if now - self._enough_at < _FEW_SECONDS:
            return False
        self._began = None
        return True

    def end(self) -> None:
        """The mirror has ended, for whatever reason."""
        self._began = None

    def waits(self, now: float) -> bool:
        """Whether there was a failure of which it still has to be known."""
        return now < self._not_before

    def failed(self, now: float) -> None:
        """The mirror could not be sure, or not be made."""
        lasted = self._began is not None and now - self._began >= _LASTED_SECONDS
        self._wait_seconds = (
            _FIRST_WAIT_SECONDS if lasted else min(2 * self._wait_seconds, _LONGEST_WAIT_SECONDS)
        )
        self._not_before = now + self._wait_seconds
        self._began = None
