"""Takes note of what one playhead sends and of what steers it, without waiting for a disk.

In a tick it appends a reference to a bounded queue. Whoever writes takes what has come, as records,
in another thread; when nobody does for too long the queue is full, packets are counted instead,
and a `Gap` says which. Control events are few, and always have room. Predictions have a queue of
their own, and are counted when that is full.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping

from phantomlink.captures.records import (
    Answer,
    Control,
    Gap,
    Marker,
    Record,
    Sent,
    faults_of,
)
from phantomlink.engine.events import SessionEvent, SessionEventKind
from phantomlink.engine.fanout import Release
from phantomlink.engine.session import Session
from phantomlink.outputs.decoders.client_input import GivenAnswer
from phantomlink.outputs.lsl.markers import LOOP
from phantomlink.recordings.trials import Filter

_ANSWERS_PER_PACKET = 32
_STEERS = {
    SessionEventKind.PAUSED: "pause",
    SessionEventKind.RESUMED: "resume",
    SessionEventKind.SOUGHT: "seek",
    SessionEventKind.PACED: "speed",
    SessionEventKind.PERTURBED: "perturbation",
    SessionEventKind.STOPPED: "stop",
    SessionEventKind.STALLED: "stall",
    SessionEventKind.ENDED: "end",
    # A playhead without listeners holds, and begins a grid of its own with the next one.
    SessionEventKind.LISTENER_CAME: "hold",
    SessionEventKind.LISTENER_LEFT: "hold",
}
_KEEPS_DEADLINES = frozenset({"seek", "perturbation"})
_ROUNDING_NS = 2
_OF_ONE_PLAYHEAD = frozenset({SessionEventKind.STALLED, SessionEventKind.ENDED})


class Recorder:
    """An observer of one playhead of a session, and a follower of its events.

    Args:
        session: that is captured.
        wanted: the filter of the playhead.
        most: packets that may wait to be written.
        markers: that come with packets, by bin.

    Attributes:
        ended: why no more comes; None while it does.
        lost_answers: predictions that are missing.
    """

    def __init__(
        self,
        session: Session,
        wanted: Filter,
        most: int,
        markers: Mapping[int, tuple[str, ...]] | None = None,
    ) -> None:
        self._session = session
        self._wanted = wanted
        self._most = most
        self._queue: deque[Release | Control | Gap] = deque()
        self._answers: deque[GivenAnswer] = deque()
        self._missed: list[int] = []
        self._markers = markers or {}
        self._latest: Release | None = None
        # One that was overtaken comes behind the later one.
        self._recent: deque[Release] = deque(maxlen=2)
        self._loop: int | None = None
        self.lost_answers = 0
        self.ended: str | None = None

    def offer_nowait(self, release: Release) -> None:
        """Keep a packet that has left; one that is sent twice comes twice."""
        self._recent.append(release)
        if len(self._queue) < self._most:
            if self._missed:
                self._tell_of_missed()
            self._queue.append(release)
        else:
            self._missed.append(release.packet.sequence_number)

    lost_nowait = offer_nowait

    def end(self, code: int, reason: str) -> None:
        """No more packets come."""
        self.ended = self.ended or reason

    def follow(self, event: SessionEvent) -> None:
        """Keep what steers the playhead."""
        what = _STEERS.get(event.kind)
        if what is None or (event.kind in _OF_ONE_PLAYHEAD and event.filter != self._wanted):
            return
        playback = self._session.playbacks().get(self._wanted)
        if playback is None:
            return
        head = playback.playhead
        at = head.bin_index, head.sequence_number, head.loop
        self._queue.append(Control(what, *at, event.at_ns, self._detail(what)))
        if what in _KEEPS_DEADLINES and self._has_moved(playback.anchor().due_ns):
            self._queue.append(Control("hold", *at, event.at_ns))

    def answered(self, answer: GivenAnswer) -> None:
        """Keep what a decoder has answered to this playhead."""
        if answer.filter != self._wanted:
            return
        if len(self._answers) < _ANSWERS_PER_PACKET * self._most:
            self._answers.append(answer)
        else:
            self.lost_answers += 1

    def take(self) -> Iterator[Record]:
        """What has come since the last time. Called by one thread, any one."""
        while self._queue:
            item = self._queue.popleft()
            if not isinstance(item, Release):
                yield item
            elif item is not self._latest:
                self._latest = item
                yield sent_of(item)
                yield from self._markers_of(item)
        while self._answers:
            yield answer_of(self._answers.popleft())

    def finish(self) -> None:
        """Nothing more is kept: say what was missed at the end."""
        if self._missed:
            self._tell_of_missed()

    def _has_moved(self, due_ns: int | None) -> bool:
        """Whether what is due next is not due a period after the last one.

        A seek moves no deadline, but where a packet was held back for longer than a period, or
        has had its tick and was to be overtaken by the next one.
        """
        if due_ns is None:
            return True
        if not self._recent:
            return False
        latest_ns = max(release.deadline_ns for release in self._recent)
        return abs(due_ns - latest_ns - 1e9 / self._session.rate_hz) > _ROUNDING_NS

    def _markers_of(self, release: Release) -> Iterator[Marker]:
        """What comes with a packet that somebody is given."""
        packet, fault = release.packet, release.fault
        if fault is not None and fault.lost:
            return
        texts = self._markers.get(packet.packet_id, ())
        if self._loop is not None and packet.loop != self._loop:
            texts = (LOOP, *texts)
        self._loop = packet.loop
        for text in texts:
            yield Marker(text, packet.packet_id, packet.sequence_number, release.deadline_ns)

    def _tell_of_missed(self) -> None:
        missed = sorted(set(self._missed))
        self._queue.append(Gap(missed[0], missed[-1], len(missed)))
        self._missed = []

    def _detail(self, what: str) -> object:
        session = self._session
        if what == "speed":
            return [session.speed.numerator, session.speed.denominator]
        if what == "perturbation":
            return perturbation_of(session)
        return None


def perturbation_of(session: Session) -> dict[str, object]:
    """What is done to the packets of a session, as journals have it."""
    applied = session.applied
    return {
        "perturbation": None if applied is None else applied.perturbation.as_json(),
        "seed": session.seed,
        "perturbation_id": None if applied is None else applied.perturbation_id,
    }


def sent_of(release: Release) -> Sent:
    """The record of a packet that has left, or was lost on purpose."""
    fault, stamp = release.fault, release.timestamp
    left_at_ns = None if stamp is None else round(stamp * 1e9)
    if fault is None:
        return Sent(release.packet, release.deadline_ns, left_at_ns)
    delivered, faults = faults_of(fault)
    return Sent(release.packet, release.deadline_ns, left_at_ns, delivered, fault.delay_ns, faults)


def answer_of(answer: GivenAnswer) -> Answer:
    """The record of a prediction."""
    said = answer.message.prediction
    vx, vy, x, y = (value if math.isfinite(value) else None for value in said.values)
    return Answer(
        answer.client_id,
        answer.decoder,
        said.packet_id,
        said.loop,
        said.sequence_number,
        vx,
        vy,
        x,
        y,
        answer.received_ns,
        answer.outcome,
        answer.message.received_at,
        answer.message.sent_at,
    )
