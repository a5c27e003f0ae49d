"""What a client is granted: how far behind it may fall, and how much it may say at once.

A client is *behind* from the first packet that its connection did not take at once until nothing
waits for it any more, or until it takes a packet that is hardly older than its own delivery: one
that has a packet or two waiting all the time is not slow. While it is behind, packets wait in a
queue that is bounded in packets and in bytes; when it is full the oldest go. A client that stays
behind for too long is closed with 4408, and so is one that answers no ping.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from phantomlink.settings import Settings

QUEUE_SECONDS = 2.0
QUEUE_PACKETS = 16
# A client that takes packets of this age keeps up.
_CURRENT_SECONDS = 0.25


def queue_packets(
    rate_hz: Fraction, *, seconds: float = QUEUE_SECONDS, at_least: int = QUEUE_PACKETS
) -> int:
    """How many packets may wait for a listener that takes them too slowly.

    Args:
        rate_hz: packets a second.
        seconds: of packets that may wait.
        at_least: packets that may wait where these are more.
    """
    return max(at_least, int(seconds * rate_hz))


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What a WebSocket client is granted.

    Attributes:
        queue_seconds: of packets that may wait for it.
        queue_packets: that may wait for it where these are more.
        queue_bytes: that all that waits for it may take.
        behind_seconds: for which it may be behind.
        ping_interval_seconds: between a pong and the next ping.
        ping_timeout_seconds: in which it must have answered a ping.
        message_bytes: that a message of its own may have. None is used: a ping or a wordy hello.
    """

    queue_seconds: float = QUEUE_SECONDS
    queue_packets: int = QUEUE_PACKETS
    queue_bytes: int = 4 * 2**20
    behind_seconds: float = 2.0
    ping_interval_seconds: float = 20.0
    ping_timeout_seconds: float = 20.0
    message_bytes: int = 64 * 1024

    @classmethod
    def of(cls, settings: Settings) -> ClientLimits:
        """As the server was told."""
        return cls(
            queue_seconds=settings.client_queue_seconds,
            queue_packets=settings.client_queue_packets,
            queue_bytes=settings.client_queue_bytes,
            behind_seconds=settings.client_behind_seconds,
            ping_interval_seconds=settings.ping_interval_seconds,
            ping_timeout_seconds=settings.ping_timeout_seconds,
            message_bytes=settings.max_message_bytes,
        )

    def packets_at(self, rate_hz: Fraction) -> int:
        """How many packets may wait at this rate."""
        return queue_packets(rate_hz, seconds=self.queue_seconds, at_least=self.queue_packets)

    @property
    def current_seconds(self) -> float:
        """How old the packets may be that a client takes which is not behind."""
        return min(_CURRENT_SECONDS, self.behind_seconds / 2)

    def look_again_at(self, now: float, behind_since: float | None) -> float | None:
        """When to look again whether a client is too slow; None when it is.

        Between two looks nothing needs to be told: one that falls behind after `now` is not too
        slow before the next look.

        Args:
            now: s, of any clock.
            behind_since: on the same clock; None while it is not behind.
        """
        if behind_since is None:
            return now + self.behind_seconds
        due = behind_since + self.behind_seconds
        return None if due <= now else due

    def too_slow(self, dropped: int) -> str:
        """What a client that is closed for being behind is told."""
        return f"too slow: behind for {self.behind_seconds:g} s, {dropped} packets dropped"

    def silent(self) -> str:
        """What a client that is closed for not answering is told, should it ever read it."""
        return f"no answer to a ping within {self.ping_timeout_seconds:g} s"
