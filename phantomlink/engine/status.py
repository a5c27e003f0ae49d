"""What a session looks like at one moment: frozen, for those who show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from phantomlink.recordings.trials import Filter


@dataclass(frozen=True, slots=True)
class PlaybackStatus:
    """One playhead at one moment.

    Attributes:
        filter: what it plays; all None for the unfiltered one.
        current_packet: `packet_id` of the next packet.
        sequence_number: of the next packet.
        loop: times it has wrapped.
        total_packets: bins it plays before it wraps.
        connections: sinks that listen.
        is_playing: whether it advances.
        waiting_for: why it does not although it should: the recording cannot be read; else None.
        packets: released so far.
        stalls, overruns: see TimingCounters.
    """

    filter: Filter
    current_packet: int
    sequence_number: int
    loop: int
    total_packets: int
    connections: int
    is_playing: bool
    packets: int
    stalls: int
    overruns: int
    waiting_for: str | None = None


# Behind an ASGI server every client is behind for a moment, at every packet.
_SHORT_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ClientBacklog:
    """What waits for one client at one moment.

    Attributes:
        client_id: number of its connection, as the log has it.
        queued_packets: that wait.
        queued_bytes: that all that waits takes.
        dropped_packets: that it has lost because it was too slow.
        behind_seconds: for how long packets have been waiting; None when nothing is.
    """

    client_id: int
    queued_packets: int
    queued_bytes: int
    dropped_packets: int
    behind_seconds: float | None

    @property
    def is_worth_telling(self) -> bool:
        """Whether it is not simply one that keeps up."""
        return self.dropped_packets > 0 or (self.behind_seconds or 0.0) >= _SHORT_SECONDS


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """A session at one moment. The first playback is the unfiltered one."""

    code: str
    created_at: datetime
    last_accessed: datetime
    is_paused: bool
    is_stopped: bool
    playbacks: tuple[PlaybackStatus, ...]

    @property
    def active_connections(self) -> int:
        """Listeners of all playheads."""
        return sum(playback.connections for playback in self.playbacks)

    @property
    def is_running(self) -> bool:
        """Whether it has listeners and was not stopped: it plays, or would but for a pause."""
        return not self.is_stopped and self.active_connections > 0
