"""One session: a nursery with a playback for each filter that somebody listens to.

A session's state is two flags, `is_paused` and `is_stopped`; everything else follows from them
and from who listens. What it is asked to do takes effect before the call returns: no packet of
the time before leaves afterwards.
"""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from fractions import Fraction

import trio

from phantomlink.close_codes import CLOSE_NORMAL
from phantomlink.engine.fanout import Sink
from phantomlink.engine.output import Observer, Output, SessionEvent
from phantomlink.engine.perturbed import AppliedPerturbation, apply_perturbation
from phantomlink.engine.playback import Playback, PlaybackParts
from phantomlink.engine.selection import Selection
from phantomlink.engine.status import ClientBacklog, PlaybackStatus, SessionStatus
from phantomlink.engine.timing import TimingSums
from phantomlink.errors import BinRangeError
from phantomlink.metrics import Histogram
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.recordings.trials import Filter

NO_FILTER = Filter()
REAL_TIME = Fraction(1)


class Session:
    """An isolated listening to the recording, with playheads of its own.

    Args:
        code: its name.
        parts: what its playbacks share.
        speed: how many times faster than it was recorded.
        perturbation: what is done to its packets.
        seed: of whatever perturbation it has, 0 to 2**63 - 1.
        applied: the same ready for use, where that has been made already.
        outputs: run as long as it does.

    Raises:
        InvalidParameterError: the perturbation does not fit the recording.
    """

    def __init__(
        self,
        code: str,
        parts: PlaybackParts,
        speed: Fraction = REAL_TIME,
        *,
        perturbation: Perturbation = NO_PERTURBATION,
        seed: int = 0,
        applied: AppliedPerturbation | None = None,
        outputs: Sequence[Output] = (),
    ) -> None:
        self.code = code
        self.parts = parts
        self.speed = speed
        self.outputs = tuple(outputs)
        self.seed = seed
        self._applied = applied or apply_perturbation(perturbation, seed, parts.reader.bins)
        self.created_at = datetime.now(UTC)
        self.last_accessed = self.created_at
        self.last_used = trio.current_time()
        self.is_paused = False
        self.is_stopped = False
        # From a packet's offer to a WebSocket client to the kernel's (or the server's) taking it.
        self.send_latency = Histogram()
        self._reservations = 0
        self._closed: tuple[int, str] | None = None
        self._nursery: trio.Nursery | None = None
        n_bins = parts.reader.bins.grid.n_bins
        self.main = self._make_playback(Selection(((0, n_bins),)))
        self._playbacks: dict[Filter, Playback] = {NO_FILTER: self.main}
        self._scopes: dict[Playback, trio.CancelScope] = {}
        self._clients: set[Sink] = set()
        self._observers: dict[Observer, None] = {}
        self._dropped_by_leavers = 0
        self._released_by_gone = 0
        self._slow_leavers = 0
        # Clients that were closed because they were too slow.
        self.clients_given_up = 0
        # Of the filtered playheads that have gone.
        self.gone_timing = TimingSums()
        # Packets by transport, of those that count for themselves; WebSocket clients are counted
        # by `send_latency`.
        self.sent_otherwise: Counter[str] = Counter()

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of each playhead."""
        return self.parts.reader.bins.grid.rate_hz * self.speed

    @property
    def n_listening(self) -> int:
        """Listeners of all playheads."""
        return sum(playback.fanout.n_listening for playback in self._playbacks.values())

    @property
    def is_running(self) -> bool:
        """Whether it has listeners and was not stopped: it plays, or would but for a pause."""
        return not self.is_stopped and self.n_listening > 0

    @property
    def is_in_use(self) -> bool:
        """Whether somebody listens, or is about to: it must not make room for another."""
        return self._reservations > 0 or self.n_listening > 0

    @property
    def packets_released(self) -> int:
        """Packets of all playheads so far, those of playheads that have gone included."""
        playing = sum(playback.timing.packets for playback in self._playbacks.values())
        return self._released_by_gone + playing

    @property
    def dropped_packets(self) -> int:
        """Packets that slow listeners lost so far, those that have left included."""
        return self._dropped_by_leavers + sum(_dropped(sink) for sink in self._clients)

    @property
    def slow_clients(self) -> int:
        """Listeners that lost packets so far, those that have left included."""
        return self._slow_leavers + sum(_is_slow(sink) for sink in self._clients)

    def backlogs(self) -> list[ClientBacklog]:
        """What waits for each client that is behind now or has lost packets."""
        found = [getattr(sink, "backlog", None) for sink in self._clients]
        slow = [each for each in found if each is not None and each.is_worth_telling]
        return sorted(slow, key=lambda each: each.client_id)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, its last connection too: nothing that it counts changes."""
        return self.is_closed and not self._clients and not self.is_in_use

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Keep the session while a listener that was let in is still arriving."""
        self._reservations += 1
        try:
            yield
        finally:
            self._reservations -= 1

    @contextmanager
    def observed(self, observer: Observer) -> Iterator[None]:
        """Tell `observer` of every event until left."""
        self._observers[observer] = None
        try:
            yield
        finally:
            del self._observers[observer]

    @property
    def is_closed(self) -> bool:
        """Whether it has ended; it takes no listeners any more."""
        return self._closed is not None

    def touch(self) -> None:
        """Somebody used the session: its time to live starts again."""
        self.last_used = trio.current_time()
        self.last_accessed = datetime.now(UTC)

    def playback(self, wanted: Filter) -> Playback:
        """The playback of a filter; a new one, not yet playing, where nobody listens to it.

        A new one starts at the first match at or after the unfiltered position, wrapping.

        Raises:
            NoMatchingBinsError: the filter matches nothing.
        """
        existing = self._playbacks.get(wanted)
        if existing is not None:
            return existing
        bins = self.parts.reader.bins
        selection = Selection(bins.trials.ranges(wanted, bins.grid))
        return self._make_playback(selection, self.main.playhead.bin_index)

    def subscribe(self, wanted: Filter, playback: Playback, sink: Sink) -> Playback:
        """Let `sink` listen; a stopped session starts again.

        Args:
            wanted: its filter.
            playback: what `playback(wanted)` gave. If another listener of the same filter came
                in the meantime, that one's playhead is the one that counts.
            sink: the listener.

        Returns:
            The playback that it listens to.
        """
        if self._closed is not None:
            sink.end(*self._closed)
            return playback
        playback = self._playbacks.setdefault(wanted, playback)
        starts_main = self.is_stopped or playback is self.main
        self.is_stopped = False
        self._clients.add(sink)
        self.touch()
        if playback not in self._scopes and self._nursery is not None:
            self._start(playback)
        playback.add(sink)
        self._update()
        if starts_main:
            self._tell(SessionEvent.ARRIVED)
        return playback

    def unsubscribe(self, sink: Sink) -> None:
        """`sink` has left; a filtered playhead goes with its last listener."""
        for playback in list(self._playbacks.values()):
            playback.discard(sink)
        if sink in self._clients:
            self._clients.discard(sink)
            self._dropped_by_leavers += _dropped(sink)
            self._slow_leavers += _is_slow(sink)
            self.clients_given_up += _was_given_up(sink)
        self._drop_unheard()
        self.touch()

    def pause(self) -> None:
        """Hold every playhead; twice is fine."""
        if self.is_paused:
            return
        self.is_paused = True
        self._update()
        self._tell(SessionEvent.PAUSED)

    def resume(self) -> None:
        """Go on after a pause or a stop, for whoever listens."""
        self.is_paused = False
        self.is_stopped = False
        self._update()
        self._tell(SessionEvent.RESUMED)

    def stop(self) -> None:
        """Close the sockets, rewind, and hold until a listener arrives or `resume`."""
        self.is_paused = False
        self.is_stopped = True
        self._end_sinks(CLOSE_NORMAL, "session stopped")
        self.main.seek(0)
        self._update()
        self._tell(SessionEvent.STOPPED)

    def seek(self, bin_index: int) -> int:
        """Move each playhead to the first match at or after a bin, wrapping.

        Returns:
            The first `packet_id` that the unfiltered playhead sends from now on.

        Raises:
            BinRangeError: the bin is not in the recording.
        """
        n_bins = self.parts.reader.bins.grid.n_bins
        if not 0 <= bin_index < n_bins:
            raise BinRangeError(f"packet_id: got {bin_index}, takes 0 to {n_bins - 1}")
        for playback in self._playbacks.values():
            playback.seek(bin_index)
        self._tell(SessionEvent.SOUGHT)
        return self.main.playhead.bin_index

    def seek_seconds(self, position_seconds: float) -> int:
        """As `seek`, to the bin that holds a time from the start of the recording.

        Raises:
            BinRangeError: the time is not in the recording.
        """
        grid = self.parts.reader.bins.grid
        if not (math.isfinite(position_seconds) and 0 <= position_seconds < grid.duration_seconds):
            raise BinRangeError(
                f"position_seconds: got {position_seconds}, "
                f"takes 0 up to {grid.duration_seconds} (not itself)"
            )
        bin_index = grid.index_of(grid.t0_seconds + position_seconds)
        return self.seek(min(bin_index, grid.n_bins - 1))

    def put_back(
        self,
        bin_index: int,
        *,
        sequence_number: int,
        loop: int,
        is_paused: bool,
        is_stopped: bool,
    ) -> None:
        """Let a new session be where one of an earlier run of the server was.

        Raises:
            BinRangeError: the bin is not in the recording.
        """
        self.is_paused = is_paused
        self.is_stopped = is_stopped
        self.seek(bin_index)
        self.main.playhead.sequence_number = sequence_number
        self.main.playhead.loop = loop

    def set_speed(self, speed: Fraction) -> None:
        """Play so many times faster than recorded, from the next packet on; tell the listeners."""
        if speed == self.speed:
            return
        self.speed = speed
        for playback in self._playbacks.values():
            playback.set_rate(self.rate_hz)
        for sink in self.sinks():
            sink.stream_changed()
        self._tell(SessionEvent.PACED)

    @property
    def applied(self) -> AppliedPerturbation | None:
        """What is done to its packets; None when they are the recording's own."""
        return self._applied

    def set_perturbation(self, perturbation: Perturbation, seed: int | None = None) -> int:
        """Perturb the packets from the next one on, and tell the listeners.

        Args:
            perturbation: in the place of the one before.
            seed: of it; None for the one that the session has.

        Returns:
            The first `packet_id` that the unfiltered playhead sends so.

        Raises:
            InvalidParameterError: it does not fit the recording; nothing has changed then.
        """
        seed = self.seed if seed is None else seed
        applied = apply_perturbation(perturbation, seed, self.parts.reader.bins)
        return self.apply(applied, seed)

    def apply(self, applied: AppliedPerturbation | None, seed: int) -> int:
        """As `set_perturbation`, with one that is ready for use."""
        self.seed = seed
        self._applied = applied
        for playback in self._playbacks.values():
            playback.set_perturbation(applied)
        for sink in self.sinks():
            sink.stream_changed()
        return self.main.playhead.bin_index

    def close(self, code: int, reason: str) -> None:
        """End the session whoever is connected. The first reason counts."""
        if self._closed is not None:
            return
        self._closed = (code, reason)
        self._end_sinks(code, reason)
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def status(self) -> SessionStatus:
        """The session now."""
        return SessionStatus(
            self.code,
            self.created_at,
            self.last_accessed,
            self.is_paused,
            self.is_stopped,
            tuple(
                PlaybackStatus(
                    filter=wanted,
                    current_packet=playback.playhead.bin_index,
                    sequence_number=playback.playhead.sequence_number,
                    loop=playback.playhead.loop,
                    total_packets=playback.playhead.selection.length,
                    connections=playback.fanout.n_listening,
                    is_playing=playback.is_playing and playback.waiting_for is None,
                    waiting_for=playback.waiting_for,
                    packets=playback.timing.packets,
                    stalls=playback.timing.stalls,
                    overruns=playback.timing.overruns,
                )
                for wanted, playback in self._playbacks.items()
            ),
        )

    def playbacks(self) -> Mapping[Filter, Playback]:
        """The playheads by filter, the unfiltered one first."""
        return self._playbacks

    def sinks(self) -> tuple[Sink, ...]:
        """Everything that listens."""
        return tuple(sink for playback in self._playbacks.values() for sink in playback.fanout)

    async def run(self) -> None:
        """Run until closed. Every playback is a task here.

        Raises:
            RecordingError: the recording cannot be read.
        """
        async with trio.open_nursery(strict_exception_groups=True) as nursery:
            self._nursery = nursery
            if self._closed is not None:
                nursery.cancel_scope.cancel()
            for playback in self._playbacks.values():
                self._start(playback)
            for output in self.outputs:
                nursery.start_soon(output.run, self)
            await trio.sleep_forever()

    def _make_playback(self, selection: Selection, from_bin: int = 0) -> Playback:
        # Weakly: a session and playbacks that held each other would stay, with all that they have
        # counted, until the oldest garbage is collected, a minute or two after they have ended.
        weak = weakref.ref(self)

        def may_play() -> bool:
            session = weak()
            return session is not None and session._may_play()

        def on_end(playback: Playback) -> None:
            session = weak()
            if session is not None:
                session._on_end(playback)

        return Playback(
            self.parts,
            selection,
            rate_hz=self.rate_hz,
            from_bin=from_bin,
            may_play=may_play,
            on_end=on_end,
            applied=self._applied,
        )

    def _may_play(self) -> bool:
        return not (self.is_paused or self.is_stopped or self.is_closed)

    def _update(self) -> None:
        for playback in list(self._playbacks.values()):
            playback.update()

    def _start(self, playback: Playback) -> None:
        assert self._nursery is not None
        self._scopes[playback] = trio.CancelScope()
        self._nursery.start_soon(self._run_playback, playback, self._scopes[playback])

    async def _run_playback(self, playback: Playback, scope: trio.CancelScope) -> None:
        with scope:
            await playback.run()

    def _drop_unheard(self) -> None:
        for wanted, playback in list(self._playbacks.items()):
            if playback is not self.main and not len(playback.fanout):
                del self._playbacks[wanted]
                self._released_by_gone += playback.timing.packets
                self.gone_timing.add(playback.timing)
                playback.update()
                scope = self._scopes.pop(playback, None)
                if scope is not None:
                    scope.cancel()

    def _end_sinks(self, code: int, reason: str) -> None:
        for playback in list(self._playbacks.values()):
            self._end_listeners(playback, code, reason)
        self._drop_unheard()

    def _end_listeners(self, playback: Playback, code: int, reason: str) -> None:
        for sink in playback.fanout:
            sink.end(code, reason)
            playback.discard(sink)

    def _on_end(self, playback: Playback) -> None:
        self._end_listeners(playback, CLOSE_NORMAL, "the recording ended")
        self._drop_unheard()
        if playback is self.main:
            self._tell(SessionEvent.ENDED)

    def _tell(self, event: SessionEvent) -> None:
        for observer in list(self._observers):
            observer(event)


def _dropped(sink: Sink) -> int:
    """What a sink has dropped; 0 for one that never drops."""
    dropped: int = getattr(sink, "dropped", 0)
    return dropped


def _was_given_up(sink: Sink) -> bool:
    """Whether its connection is closed because it was too slow."""
    return bool(getattr(sink, "was_given_up", False))


def _is_slow(sink: Sink) -> bool:
    return _dropped(sink) > 0 or _was_given_up(sink)
