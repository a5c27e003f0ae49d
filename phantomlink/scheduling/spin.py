"""How early to wake, and how much of a core may be spent on spinning up to a deadline.

Waking from the kernel is late by some tens of microseconds, and by how much depends on the
machine and the moment. So a waiter asks to be woken early, by a lead, and spins for the rest.
The lead is learned (`WakeMargin`) and bounded by what spinning may cost (`SpinGovernor`).
A lead is not spin: most of it is eaten by the wake-up itself, so only feedback from the time
actually spun can hold the budget; a share handed out in advance starves at 100 sessions.
"""

from __future__ import annotations

import time

# A margin that may grow without a bound follows a busy machine to 1.5 ms, and then the spin
# itself is what makes the machine busy.
MAX_LEAD_NS = 400_000
_FIRST_MARGIN_NS = 100_000
_STEP_NS = 8_000
# Of the wake-ups that are to be in time, where spinning is cheap; and by how much less where all
# that may be spun is being spun.
_QUANTILE = 0.998
_QUANTILE_SPENT = 0.3
_monotonic_ns = time.monotonic_ns


class WakeMargin:
    """Follows a high quantile of how late wake-ups are, in constant memory.

    Stochastic approximation: each observation moves the estimate by a step whose two sizes
    balance where `quantile` of the observations lie below it. An interval between two packets is
    off when either of its wake-ups was beyond the margin: with 0.98, one interval in 25 was.

    The latest wake-ups are the dear ones: to be in time for the last few of a thousand takes a lead
    most of which all the others then spin. With few ticks that costs nothing. With many, whose
    spins take a good part of their budget, it is CPU that the ticks themselves need, and the
    quantile is lower.
    """

    __slots__ = ("_margin",)

    def __init__(self) -> None:
        self._margin = float(_FIRST_MARGIN_NS)

    @property
    def margin_ns(self) -> int:
        """How much earlier than needed to ask for a wake-up."""
        return int(self._margin)

    def observe(self, lateness_ns: int, used: float = 0.0) -> None:
        """A wake-up came this long after it was asked for.

        Args:
            lateness_ns: how long.
            used: part of what may be spun that is being spun, 0 to 1.
        """
        quantile = _QUANTILE - _QUANTILE_SPENT * used * used
        if lateness_ns > self._margin:
            self._margin = min(self._margin + _STEP_NS * quantile, MAX_LEAD_NS)
        else:
            self._margin = max(self._margin - _STEP_NS * (1 - quantile), 0.0)


class SpinGovernor:
    """Keeps the time spun by all waiters together below a share of one core.

    Args:
        share: of one core.

    Attributes:
        last_share: of one core, that was spun in the last interval.
        share: as given.
    """

    __slots__ = ("_cap", "_since_ns", "_spun_ns", "last_share", "share")

    _INTERVAL_NS = 250_000_000

    def __init__(self, share: float = 0.15) -> None:
        self.share = share
        self.last_share = 0.0
        self._cap = float(MAX_LEAD_NS)
        self._spun_ns = 0
        self._since_ns: int | None = None

    @property
    def used(self) -> float:
        """Part of the share that was last spun, 0 to 1; 1 where nothing may be."""
        return min(self.last_share / self.share, 1.0) if self.share > 0 else 1.0

    @property
    def cap_ns(self) -> int:
        """The longest lead that may be used now."""
        return int(self._cap)

    def spun(self, duration_ns: int, now_ns: int) -> None:
        """A waiter has spun for this long, until now."""
        self._spun_ns += duration_ns
        if self._since_ns is None:
            self._since_ns = now_ns
            return
        elapsed = now_ns - self._since_ns
        if elapsed < self._INTERVAL_NS:
            return
        self.last_share = self._spun_ns / elapsed
        if self.last_share > self.share:
            # Faster down than up: what was overspent is a tick that others waited for.
            self._cap = max(self._cap * max(self.share / self.last_share, 0.5), 1_000.0)
        else:
            self._cap = min(self._cap * 1.05 + 1_000.0, MAX_LEAD_NS)
        self._spun_ns = 0
        self._since_ns = now_ns


def spin(deadline_ns: int, governor: SpinGovernor) -> int:
    """Keep the CPU until a deadline, monotonic ns.

    Returns:
        The time then; the time now when the deadline is past.
    """
    start = now = _monotonic_ns()
    # Before the spin, so that nothing is left to do behind it; the wake-up's own part is noise.
    governor.spun(max(deadline_ns - start, 0), start)
    while now < deadline_ns:
        now = _monotonic_ns()
    return now
