"""How the packets of a playback leave: in which order, to whom, and what is counted of it.

Nothing here awaits: it is the part of a tick in which packets are handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.fanout import Release, Sink
from phantomlink.engine.faults import NO_FAULT, Delays, Line
from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.perturbed import AppliedPerturbation
from phantomlink.engine.playback_state import PlaybackState
from phantomlink.engine.selection import Playhead
from phantomlink.scheduling.timeline import Timeline

# The CPU is yielded up to so many ticks a second of all playheads: with more, even what clients
# take to read would delay the next ones.
_YIELD_BELOW_HZ = 1000


class Departures(PlaybackState):
    """The packets of a playback as they leave; `Playback` adds when they do.

    Args:
        parts: what the session's playbacks share.
        playhead: where it is.
        rate_hz: packets a second.
        may_play: whether the session lets its playbacks advance now.
        applied: what is done to its packets; None for nothing.
    """

    def __init__(
        self,
        parts: PlaybackParts,
        playhead: Playhead,
        *,
        rate_hz: Fraction,
        may_play: Callable[[], bool],
        applied: AppliedPerturbation | None,
    ) -> None:
        super().__init__(parts, playhead, may_play=may_play, applied=applied)
        self._timeline = Timeline(rate_hz)
        self._delays = Delays()

    def discard(self, sink: Sink) -> None:
        """`sink` gets nothing more; no matter whether it did."""
        self.fanout.discard(sink)

    def _let_leave(self, release: Release, due_ns: int, line: Line[Release]) -> None:
        release.deadline_ns = self._timeline.deadline_ns
        if release.fault is None and line.is_empty:
            if due_ns > release.deadline_ns:
                self._left_late(release, due_ns)
            self._release(release, due_ns)
        else:
            self._let_leave_with_fault(release, due_ns, line)
        self._timeline.advance()

    def _let_leave_with_fault(self, release: Release, due_ns: int, line: Line[Release]) -> None:
        head, injected = self.playhead, self.timing.injected
        ahead = 0 if line.is_empty else 1
        is_last = not self._parts.loop and head.position + ahead == head.selection.length - 1
        is_last = is_last or release.packet.sequence_number + 1 == self._until
        outcome = line.tick(release, release.fault or NO_FAULT, is_last=is_last)
        injected.reordered += outcome.overtaken
        lost = outcome.passed - len(outcome.leaving)
        injected.lost += lost
        if release in outcome.leaving and due_ns > release.deadline_ns:
            self._left_late(release, due_ns)
        for leaving in outcome.leaving:
            self._release(leaving, due_ns)
        if lost:
            self.fanout.lost(release)
        for _ in range(lost):
            head.advance()

    def _left_late(self, release: Release, due_ns: int) -> None:
        self.timing.injected.delays.record(due_ns - release.deadline_ns)
        self._delays.left(self._parts.clock.now_ns())

    def _release(self, release: Release, due_ns: int) -> None:
        clock, fanout = self._parts.clock, self.fanout
        released_ns = clock.now_ns()
        release.stamp(release.deadline_ns, clock.wall_seconds())
        is_sparse = self._parts.phases.ticks_hz <= _YIELD_BELOW_HZ
        yield_cpu = clock.yield_cpu if is_sparse else None
        failed = fanout.offer(release, yield_cpu)
        is_doubled = release.fault is not None and release.fault.duplicated
        if is_doubled:
            self.timing.injected.duplicated += 1
            failed += fanout.offer(release, yield_cpu)
        offered_ns = clock.now_ns()
        if yield_cpu is not None and fanout.n_first:
            yield_cpu(others_wait=False)
        failed += fanout.offer_last(release)
        if is_doubled:
            failed += fanout.offer_last(release)
        self.timing.released(due_ns, released_ns, offered_ns)
        self.playhead.advance()
        for sink in dict.fromkeys(failed):
            self.discard(sink)
            sink.end(CLOSE_INTERNAL_ERROR, "internal error")
