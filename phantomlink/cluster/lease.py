"""Whether a node may play, change and claim sessions: the rules of its lease. Pure.

Theory of operation. A node has one lease in the directory, and renews it every quarter of its
length. It counts the lease from before each renewal was sent, the directory from when it arrived:
so the node's end is never the later one, and nobody has claimed what it plays within its lease.

When renewals fail, or are not answered in time, the node asks its peers before its lease ends. If
none of them sees the directory either, the directory is what is away: the node is *static* and
plays without limit, since nobody can claim. If a peer sees it, or no known peer answers, the node
is *cut off*: others will claim what it has, so it plays on for a while without taking commands, and
then no more. A node whose lease has ended before this was settled (it was frozen) plays nothing
until it is, and has no such while.

A node claims only when it and the directory have been in touch for two leases without a break:
after an outage the owners renew first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

FOREVER_NS = 2**63 - 1
_PARTS = 4
_CLAIM_LEASES = 2


class Standing(Enum):
    """How a node and the directory stand."""

    OUT = "out"
    HELD = "held"
    STATIC = "static"
    CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long things last.

    Attributes:
        ttl_ns: of a lease.
        grace_ns: that a node plays on which is cut off.
    """

    ttl_ns: int
    grace_ns: int

    @property
    def renew_ns(self) -> int:
        """Between two renewals."""
        return self.ttl_ns // _PARTS


class Lease:
    """That of one node. Times are monotonic ns of its machine.

    Args:
        times: how long things last.

    Attributes:
        standing: of the node.
    """

    def __init__(self, times: LeaseTimes) -> None:
        self._times = times
        self.standing = Standing.OUT
        self._end_ns = 0
        self._in_touch_since_ns: int | None = None

    @property
    def plays_until_ns(self) -> int:
        """No packet may leave after it."""
        return {Standing.OUT: -1, Standing.STATIC: FOREVER_NS}.get(self.standing, self._end_ns)

    def may_play(self, now_ns: int) -> bool:
        """Whether a packet may leave now."""
        return now_ns <= self.plays_until_ns

    def may_change(self, now_ns: int) -> bool:
        """Whether sessions may be made and steered: what is said then is written down."""
        held = self.standing is Standing.HELD and now_ns <= self._end_ns
        return held and self._in_touch_since_ns is not None

    def may_claim(self, now_ns: int) -> bool:
        """Whether sessions of nodes that are gone may be taken over."""
        since_ns = self._in_touch_since_ns
        if since_ns is None or not self.may_change(now_ns):
            return False
        return now_ns - since_ns >= _CLAIM_LEASES * self._times.ttl_ns

    def has_lapsed(self, now_ns: int) -> bool:
        """Whether others may have claimed what the node has: it must look before it plays on."""
        return not self.may_play(now_ns) or self.standing is Standing.CUT_OFF

    def renewed(self, sent_ns: int, now_ns: int) -> None:
        """The directory has renewed it, and what others may have claimed has been given up.

        Args:
            sent_ns: before the renewal was sent.
            now_ns: when its answer came.
        """
        self.standing = Standing.HELD
        self._end_ns = sent_ns + self._times.ttl_ns
        if self._in_touch_since_ns is None:
            self._in_touch_since_ns = now_ns

    def missed(self) -> None:
        """A renewal has failed."""
        self._in_touch_since_ns = None

    def refused(self) -> None:
        """The directory has another lease under this name."""
        self.standing, self._in_touch_since_ns = Standing.OUT, None

    def answer_within_ns(self, now_ns: int) -> int:
        """After how long without an answer to a renewal that is sent now the peers are asked."""
        if self.standing is not Standing.HELD:
            return self._times.ttl_ns
        return max(self._end_ns - self._times.renew_ns - now_ns, self._times.renew_ns)

    def asks_peers(self, now_ns: int) -> bool:
        """Whether it is time to ask whether the directory is away for the peers too."""
        return self.standing is Standing.HELD and now_ns >= self._end_ns - self._times.renew_ns

    def heard(self, now_ns: int, *, n_peers: int, see_directory: Collection[bool]) -> None:
        """The peers have answered; no matter once the directory is back.

        Args:
            now_ns: when.
            n_peers: how many were known.
            see_directory: of each that answered, whether the directory can be reached from there.
        """
        if not self.asks_peers(now_ns):
            return
        self._in_touch_since_ns = None
        is_away = n_peers == 0 or (len(see_directory) > 0 and not any(see_directory))
        if is_away:
            self.standing = Standing.STATIC
            return
        if now_ns <= self._end_ns:
            self._end_ns = now_ns + self._times.grace_ns
        self.standing = Standing.CUT_OFF

    def is_over(self, now_ns: int) -> bool:
        """Whether what the node plays is to be ended: it is cut off, and its time is up."""
        return self.standing is Standing.CUT_OFF and now_ns > self._end_ns
