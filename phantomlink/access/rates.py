"""How often somebody may ask: a bucket of tokens for each address, in bounded memory."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_ADDRESSES = 4096


class RequestRates:
    """A bucket for each address: it holds `burst` requests and fills at a rate.

    When there are too many addresses, the one that has been silent for longest is forgotten: its
    bucket is the fullest, or nearly so, and a new one is full.

    Args:
        per_second: requests that an address may go on sending; 0 for any number.
        burst: requests that it may send at once before that counts.
        now: monotonic time, s.
        max_addresses: that are remembered.

    Attributes:
        per_second, burst: as given.
        after_take: called with the address of a request that may pass; None where no other process
            counts it, too.
    """

    def __init__(
        self,
        per_second: float,
        burst: int,
        now: Callable[[], float] = time.monotonic,
        max_addresses: int = MAX_ADDRESSES,
    ) -> None:
        self.per_second = per_second
        self.burst = burst
        self.after_take: Callable[[str], None] | None = None
        self._now = now
        self._max_addresses = max_addresses
        # Requests left, and when that was so; the longest silent first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, address: str) -> float:
        """Count one request.

        Returns:
            0 when it may pass; otherwise for how long to wait, s. A refused one costs nothing.
        """
        if not self.per_second:
            return 0.0
        now = self._now()
        left = self._left(address, now)
        if left < 1:
            self._keep(address, left, now)
            return (1 - left) / self.per_second
        self._keep(address, left - 1, now)
        if self.after_take is not None:
            self.after_take(address)
        return 0.0

    def taken_elsewhere(self, address: str) -> None:
        """Count a request that another process has let pass."""
        now = self._now()
        self._keep(address, max(self._left(address, now) - 1, 0.0), now)

    def _left(self, address: str, now: float) -> float:
        left, at = self._buckets.get(address, (float(self.burst), now))
        return min(float(self.burst), left + (now - at) * self.per_second)

    def _keep(self, address: str, left: float, now: float) -> None:
        self._buckets[address] = (left, now)
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._max_addresses:
            self._buckets.popitem(last=False)
