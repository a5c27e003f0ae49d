"""The latest packets of one playhead, noted until somebody asks what they were."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from phantomlink.engine.fanout import Release
from phantomlink.scoring import MAX_OPEN_PACKETS, MIN_OPEN_PACKETS
from phantomlink.wire.packet import Packet


class TappedPacket(Struct, frozen=True, gc=False):
    """A packet of a playhead. Not a tuple, which the garbage collector would look at.

    Attributes:
        packet: what it said.
        left_at: when it left the scheduler, Unix s; None for one that was lost on purpose.
    """

    packet: Packet
    left_at: float | None


class PacketTap:
    """An observer that notes packets; in a tick that is an append.

    While nobody answers, the latest 16 stay noted, so that the first prediction of a decoder
    finds its packet.
    """

    def __init__(self) -> None:
        self._noted: deque[TappedPacket] = deque(maxlen=MIN_OPEN_PACKETS)
        self.has_ended = False

    def keep_all(self, wanted: bool) -> None:
        """Note all packets from now on, up to 4096, or the latest 16 only."""
        most = MAX_OPEN_PACKETS if wanted else MIN_OPEN_PACKETS
        if self._noted.maxlen != most:
            self._noted = deque(self._noted, maxlen=most)

    def take(self) -> list[TappedPacket]:
        """What was noted since the last time, each packet once, in the order of leaving."""
        taken: list[TappedPacket] = []
        while self._noted:
            tapped = self._noted.popleft()
            # One that was sent twice comes twice in a row.
            if not taken or taken[-1].packet is not tapped.packet:
                taken.append(tapped)
        return taken

    def offer_nowait(self, release: Release) -> None:
        """A packet has left."""
        self._noted.append(TappedPacket(release.packet, release.timestamp))

    def lost_nowait(self, release: Release) -> None:
        """A packet is lost on purpose."""
        self._noted.append(TappedPacket(release.packet, None))

    def end(self, code: int, reason: str) -> None:
        """No more packets come."""
        self.has_ended = True
