"""What the scoreboards of all sessions share."""

from __future__ import annotations

import weakref

import trio

from phantomlink.engine.session import Session
from phantomlink.evaluation.truth import Truth, read_min_speed
from phantomlink.outputs.decoders.client_input import InputCounters
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.blind import BlindBins
from phantomlink.scheduling.worker_thread import run_in_thread_patiently


class SharedScores:
    """The truth of recordings, and counters.

    Attributes:
        messages: of clients, by outcome, of sessions that have ended too.
        turn: to do arithmetic. Many sessions whose budgets of the loop began together would have
            a tick wait for all of them.
    """

    def __init__(self) -> None:
        self.messages = InputCounters()
        self.turn = trio.Lock()
        self._truths: weakref.WeakKeyDictionary[Bins, Truth] = weakref.WeakKeyDictionary()
        self._min_speeds: weakref.WeakKeyDictionary[Bins, float] = weakref.WeakKeyDictionary()

    def of(self, bins: Bins) -> Truth:
        """What is scored of these bins."""
        truth = self._truths.get(bins)
        if truth is None:
            truth = self._truths[bins] = Truth(bins)
        return truth

    async def min_speed(self, session: Session) -> float:
        """Above which directions are compared.

        Raises:
            RecordingError: the recording cannot be read.
        """
        bins = session.bins
        bins = bins.unhidden if isinstance(bins, BlindBins) else bins
        speed = self._min_speeds.get(bins)
        if speed is None:
            if bins.in_memory:
                speed = read_min_speed(bins)
            else:
                thread = session.open_recording.thread
                speed = await run_in_thread_patiently(read_min_speed, bins, limiter=thread)
            self._min_speeds[bins] = speed
        return speed
