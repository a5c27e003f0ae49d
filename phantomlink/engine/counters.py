"""What playheads, sessions and the whole server count: one shape, which adds up.

A playhead counts its ticks; a session adds up its playheads and what its sinks were given; the
server adds up its sessions. Whoever shows figures reads these records and no others.
"""

from __future__ import annotations

from phantomlink.metrics import Histogram

WEBSOCKET = "websocket"
"""The transport of WebSocket clients."""


class InjectedFaults:
    """What was done to packets on purpose.

    Attributes:
        lost: packets that nobody was given.
        duplicated: packets that everybody was given twice.
        reordered: packets that left after their successor.
        delays: by how much packets left after their deadline, those that waited for a delayed one
            included.
    """

    __slots__ = ("delays", "duplicated", "lost", "reordered")

    def __init__(self) -> None:
        self.lost = 0
        self.duplicated = 0
        self.reordered = 0
        self.delays = Histogram()

    def add(self, other: InjectedFaults) -> None:
        """Count also what `other` has."""
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.reordered += other.reordered
        self.delays.merge(other.delays)


class TickCounters:
    """Of the ticks of one playhead, or of several together.

    Attributes:
        packets: released.
        lateness: release of each packet minus when it was due: its deadline, and what it was
            delayed on purpose.
        stalls: times the anchor moved because a tick was too late to catch up.
        overruns: packets that were not ready at their deadline.
        injected: faults of transport that were played on purpose.
    """

    __slots__ = ("injected", "lateness", "overruns", "packets", "stalls")

    def __init__(self) -> None:
        self.packets = 0
        self.lateness = Histogram()
        self.stalls = 0
        self.overruns = 0
        self.injected = InjectedFaults()

    def add(self, other: TickCounters) -> None:
        """Count also what `other` has."""
        self.packets += other.packets
        self.lateness.merge(other.lateness)
        self.stalls += other.stalls
        self.overruns += other.overruns
        self.injected.add(other.injected)


class DeliveryCounters:
    """Of the packets that sinks of one transport were given.

    Attributes:
        latency: from a packet's offer to a sink until its transport had taken it; one for each
            packet and sink.
        dropped: packets that slow sinks lost.
        slow: sinks that lost packets or were given up.
        given_up: sinks that were closed because they were too slow.
    """

    __slots__ = ("dropped", "given_up", "latency", "slow")

    def __init__(self) -> None:
        self.latency = Histogram()
        self.dropped = 0
        self.slow = 0
        self.given_up = 0

    @property
    def sent(self) -> int:
        """Packets that the transport has taken, one for each sink that had it."""
        return self.latency.count

    @property
    def offered(self) -> int:
        """Packets that sinks were offered, but for those that wait now."""
        return self.sent + self.dropped

    def add(self, other: DeliveryCounters) -> None:
        """Count also what `other` has."""
        self.latency.merge(other.latency)
        self.dropped += other.dropped
        self.slow += other.slow
        self.given_up += other.given_up


class Counters:
    """Everything that is counted.

    Attributes:
        ticks: of the playheads.
        deliveries: by transport.
    """

    __slots__ = ("deliveries", "ticks")

    def __init__(self) -> None:
        self.ticks = TickCounters()
        self.deliveries: dict[str, DeliveryCounters] = {}

    def delivery(self, transport: str) -> DeliveryCounters:
        """Of one transport; all zero where nothing has gone through it."""
        return self.deliveries.setdefault(transport, DeliveryCounters())

    @property
    def dropped(self) -> int:
        """Packets that slow sinks lost, over all transports."""
        return sum(each.dropped for each in self.deliveries.values())

    @property
    def slow(self) -> int:
        """Sinks that lost packets or were given up, over all transports."""
        return sum(each.slow for each in self.deliveries.values())

    @property
    def given_up(self) -> int:
        """Sinks that were closed because they were too slow, over all transports."""
        return sum(each.given_up for each in self.deliveries.values())

    def add(self, other: Counters) -> None:
        """Count also what `other` has."""
        self.ticks.add(other.ticks)
        for transport, delivery in other.deliveries.items():
            self.delivery(transport).add(delivery)
