"""What a session is: its recording, its playheads, who uses it, what has happened to it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from fractions import Fraction

from phantomlink.engine.events import (
    NO_FILTER,
    EventFollower,
    EventStream,
    PlayheadPosition,
    SessionEvent,
    SessionEventKind,
)
from phantomlink.engine.fanout import Sink
from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.playback import Playback
from phantomlink.engine.playheads import PlayheadOwner, Playheads
from phantomlink.engine.session_counters import SessionCounters
from phantomlink.engine.status import SessionStatus
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.recording import Recording
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.running_time import running_seconds


class SessionState(PlayheadOwner):
    """What can be read of a session. `Session` adds what can be done with it.

    Args:
        code: its name.
        parts: what its playbacks share.
        speed: how many times faster than it was recorded.
        seed: of whatever perturbation it has.
        applied: what is done to its packets; None for nothing.

    Attributes:
        events: everything that happens to it between packets.
        counters: everything that it counts.
        shared_news: what is made once for all listeners of the stream as it is now.
    """

    def __init__(
        self,
        code: str,
        parts: PlaybackParts,
        speed: Fraction,
        seed: int,
        applied: AppliedPerturbation | None,
    ) -> None:
        self.code = code
        self.parts = parts
        self.speed = speed
        self.seed = seed
        self._applied = applied
        self.created_at = datetime.now(UTC)
        self.last_accessed = self.created_at
        self.last_used = running_seconds()
        self.is_paused = False
        self.is_stopped = False
        # At any time, also by an earlier process: a blind session has told its scores then.
        self.was_stopped = False
        self.events = EventStream()
        self.shared_news: dict[Hashable, object] = {}
        self._reservations = 0
        self._closed: tuple[int, str] | None = None
        self._playheads = Playheads(parts, self)
        self.counters = SessionCounters(self._playheads)

    @property
    def open_recording(self) -> OpenRecording:
        """What it plays, with its thread, its recovery and the digest of its file."""
        return self.parts.open_recording

    @property
    def recording(self) -> Recording:
        """The recording that it plays."""
        return self.parts.open_recording.recording

    @property
    def bins(self) -> Bins:
        """The recording at the session's bin width."""
        return self.parts.bins

    @property
    def grid(self) -> BinGrid:
        """Where the session's bins lie on the recording's clock."""
        return self.parts.grid

    @property
    def main(self) -> Playback:
        """The unfiltered playhead."""
        return self._playheads.main

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of each playhead."""
        return self.grid.rate_hz * self.speed

    @property
    def n_listening(self) -> int:
        """Listeners of all playheads."""
        return sum(playback.fanout.n_listening for playback in self._playheads)

    @property
    def is_running(self) -> bool:
        """Whether it has listeners and was not stopped: it plays, or would but for a pause."""
        return not self.is_stopped and self.n_listening > 0

    @property
    def is_in_use(self) -> bool:
        """Whether somebody listens, or is about to: it must not make room for another."""
        return self._reservations > 0 or self.n_listening > 0

    @property
    def is_over(self) -> bool:
        """Whether it has ended, its last connection too: nothing that it counts changes."""
        return self.is_closed and not self.counters.n_sinks and not self.is_in_use

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep the session while a listener that was let in is still arriving."""
        self._reservations += 1
        try:
            yield
        finally:
            self._reservations -= 1

    def followed_by(self, follower: EventFollower) -> AbstractContextManager[None]:
        """Tell `follower` of every event until left."""
        return self.events.followed_by(follower)

    @property
    def may_play(self) -> bool:
        """Whether its playheads may advance."""
        return not (self.is_paused or self.is_stopped or self.is_closed)

    @property
    def is_closed(self) -> bool:
        """Whether it has ended; it takes no listeners any more."""
        return self._closed is not None

    def touch(self) -> None:
        """Somebody used the session: its time to live starts again."""
        self.last_used = running_seconds()
        self.last_accessed = datetime.now(UTC)

    @property
    def applied(self) -> AppliedPerturbation | None:
        """What is done to its packets; None when they are the recording's own."""
        return self._applied

    def status(self) -> SessionStatus:
        """The session now."""
        return SessionStatus(
            self.code,
            self.created_at,
            self.last_accessed,
            self.is_paused,
            self.is_stopped,
            tuple(playback.status(wanted) for wanted, playback in self.playbacks().items()),
        )

    def playbacks(self) -> Mapping[Filter, Playback]:
        """The playheads by filter, the unfiltered one first."""
        return self._playheads.by_filter()

    def sinks(self) -> tuple[Sink, ...]:
        """Everything that listens."""
        return tuple(sink for playback in self._playheads for sink in playback.fanout)

    def _tell(
        self,
        kind: SessionEventKind,
        playback: Playback | None = None,
        wanted: Filter = NO_FILTER,
        *,
        starts_main: bool = False,
        detail: str = "",
    ) -> None:
        head = (playback or self.main).playhead
        position = PlayheadPosition(head.bin_index, head.sequence_number, head.loop)
        at_ns = self.parts.clock.now_ns()
        self.events.tell(
            SessionEvent(kind, self.code, at_ns, position, wanted, starts_main, detail)
        )
