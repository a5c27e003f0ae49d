"""One session: a nursery with a playback for each filter that somebody listens to.

A session's state is two flags, `is_paused` and `is_stopped`; everything else follows from them
and from who listens. What it is asked to do takes effect before the call returns: no packet of
the time before leaves afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import trio

from phantomlink.close_codes import CLOSE_NORMAL
from phantomlink.engine.events import SessionEventKind
from phantomlink.engine.fanout import Observer, Sink
from phantomlink.engine.output import Output
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation, apply_perturbation
from phantomlink.engine.playback import Playback
from phantomlink.engine.session_state import SessionState
from phantomlink.errors import BinRangeError, NotPausedError
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.recordings.trials import Filter

REAL_TIME = Fraction(1)


class Session(SessionState):
    """An isolated listening to a recording, with playheads of its own.

    Args:
        code: its name.
        parts: what its playbacks share.
        speed: how many times faster than it was recorded.
        perturbation: what is done to its packets.
        seed: of whatever perturbation it has, 0 to 2**63 - 1.
        applied: the same ready for use, where that has been made already.
        outputs: run as long as it does.

    Attributes:
        outputs: as given, until it ends.

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
        outputs: Sequence[Output[Session]] = (),
    ) -> None:
        applied = applied or apply_perturbation(perturbation, seed, parts.bins)
        super().__init__(code, parts, speed, seed, applied)
        self.outputs = tuple(outputs)
        self._nursery: trio.Nursery | None = None

    def announce(self, kind: SessionEventKind, detail: str = "") -> None:
        """Tell all followers of something that an output or a route has done with the session."""
        self._tell(kind, detail=detail)

    def playback(self, wanted: Filter) -> Playback:
        """The playback of a filter; a new one, not yet playing, where nobody listens to it.

        A new one starts at the first match at or after the unfiltered position, wrapping.

        Raises:
            NoMatchingBinsError: the filter matches nothing.
        """
        return self._playheads.get(wanted)

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
        starts_main = self.is_stopped or playback is self.main
        self.is_stopped = False
        self.counters.add(sink)
        self.touch()
        playback = self._playheads.add(wanted, playback)
        playback.add(sink)
        self._update()
        self._tell(SessionEventKind.LISTENER_CAME, playback, wanted, starts_main=starts_main)
        return playback

    def unsubscribe(self, sink: Sink) -> None:
        """`sink` has left; a filtered playhead goes with its last listener."""
        for playback in self._playheads:
            playback.discard(sink)
        had = self.counters.discard(sink)
        self._playheads.drop_unheard()
        self.touch()
        if had and not self.is_closed:
            self._tell(SessionEventKind.LISTENER_LEFT)

    def observe(self, wanted: Filter, observer: Observer) -> None:
        """Let `observer` have the packets of a filter whenever somebody listens to them.

        It is no listener: it starts, holds and keeps nothing, the session neither. It stays over
        a stop and the end of the recording, until `unobserve` or the end of the session.
        """
        if self._closed is not None:
            observer.end(*self._closed)
            return
        self._playheads.observe(wanted, observer)

    def unobserve(self, observer: Observer) -> None:
        """`observer` gets nothing more; no matter whether it did."""
        self._playheads.unobserve(observer)

    def pause(self) -> None:
        """Hold every playhead; twice is fine."""
        if self.is_paused:
            return
        self.is_paused = True
        self._end_steps()
        self._update()
        self._tell(SessionEventKind.PAUSED)

    def resume(self) -> None:
        """Go on after a pause or a stop, for whoever listens."""
        self._end_steps()
        self.is_paused = False
        self.is_stopped = False
        self._update()
        self._tell(SessionEventKind.RESUMED)

    def step(self, n_packets: int) -> None:
        """Send the next packets of each playhead at the session's pace, then pause again.

        Where nobody listens, only the position moves.

        Raises:
            NotPausedError: it is not paused.
        """
        if not self.is_paused:
            raise NotPausedError(f"session {self.code} is not paused: pause it, then step")
        if not self.n_listening:
            self.seek((self.main.playhead.bin_index + n_packets) % self.grid.n_bins)
            return
        self.is_paused = False
        for playback in self._playheads:
            playback.step(n_packets)
        self._update()
        self._tell(SessionEventKind.RESUMED)

    def _end_steps(self) -> None:
        for playback in self._playheads:
            playback.step(None)

    def stop(self) -> None:
        """Close the sockets, rewind, and hold until a listener arrives or `resume`."""
        self._end_steps()
        self.is_paused = False
        self.is_stopped = self.was_stopped = True
        self._end_sinks(CLOSE_NORMAL, "session stopped")
        self.main.seek(0)
        self._update()
        self._tell(SessionEventKind.STOPPED)

    def seek(self, bin_index: int) -> int:
        """Move each playhead to the first match at or after a bin, wrapping.

        Returns:
            The first `packet_id` that the unfiltered playhead sends from now on.

        Raises:
            BinRangeError: the bin is not in the recording.
        """
        n_bins = self.grid.n_bins
        if not 0 <= bin_index < n_bins:
            raise BinRangeError(f"packet_id: got {bin_index}, takes 0 to {n_bins - 1}")
        for playback in self._playheads:
            playback.seek(bin_index)
        self._tell(SessionEventKind.SOUGHT)
        return self.main.playhead.bin_index

    def seek_seconds(self, position_seconds: float) -> int:
        """As `seek`, to the bin that holds a time from the start of the recording.

        Raises:
            BinRangeError: the time is not in the recording.
        """
        grid = self.grid
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
        for playback in self._playheads:
            playback.set_rate(self.rate_hz)
        self._tell_sinks()
        self._tell(SessionEventKind.PACED)

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
        applied = apply_perturbation(perturbation, seed, self.bins)
        return self.apply(applied, seed)

    def apply(self, applied: AppliedPerturbation | None, seed: int) -> int:
        """As `set_perturbation`, with one that is ready for use."""
        self.seed = seed
        self._applied = applied
        for playback in self._playheads:
            playback.set_perturbation(applied)
        self._tell_sinks()
        self._tell(SessionEventKind.PERTURBED, detail=applied.perturbation_id if applied else "")
        return self.main.playhead.bin_index

    def close(self, code: int, reason: str) -> None:
        """End the session whoever is connected. The first reason counts."""
        if self._closed is not None:
            return
        self._closed = (code, reason)
        self._end_sinks(code, reason)
        self._playheads.end_observers(code, reason)
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        self._tell(SessionEventKind.CLOSED, detail=reason)

    async def run(self) -> None:
        """Run until closed. Every playback is a task here.

        Raises:
            RecordingError: the recording cannot be read.
        """
        try:
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                self._nursery = nursery
                if self._closed is not None:
                    nursery.cancel_scope.cancel()
                self._playheads.start_in(nursery)
                for output in self.outputs:
                    nursery.start_soon(output.run, self)
                await trio.sleep_forever()
        finally:
            # Outputs may hold their session: together they would stay until a collector comes.
            self.outputs = ()

    def _tell_sinks(self) -> None:
        """The stream has changed. No packet has left since, so the news comes before the next."""
        self.shared_news.clear()
        for sink in self.sinks():
            sink.stream_changed()

    def _update(self) -> None:
        for playback in self._playheads:
            playback.update()

    def _end_sinks(self, code: int, reason: str) -> None:
        for playback in self._playheads:
            self._end_listeners(playback, code, reason)
        self._playheads.drop_unheard()

    def _end_listeners(self, playback: Playback, code: int, reason: str) -> None:
        for sink in playback.fanout:
            sink.end(code, reason)
            playback.discard(sink)

    def on_end(self, playback: Playback) -> None:
        """A playhead has played its last bin, and does not loop; or all that `step` let it."""
        if playback.has_stepped:
            if not any(each.is_playing for each in self._playheads):
                self.pause()
            return
        wanted = self._playheads.filter_of(playback)
        self._end_listeners(playback, CLOSE_NORMAL, "the recording ended")
        self._playheads.drop_unheard()
        self._tell(SessionEventKind.ENDED, playback, wanted)

    def on_stall(self, playback: Playback) -> None:
        """A tick of a playhead was too late: its deadlines have moved, or packets were skipped."""
        self._tell(SessionEventKind.STALLED, playback, self._playheads.filter_of(playback))

    def on_anchor(self, playback: Playback) -> None:
        """The deadlines of a playhead begin."""
        self._tell(SessionEventKind.ANCHORED, playback, self._playheads.filter_of(playback))
