"""The life of a session's outlets: made when it is made, listened to by poll, gone with it.

Theory of operation. The outlets exist as long as the session does. While an inlet is connected
to any of them, an `LslSink` listens to the unfiltered playhead, like a WebSocket client: so the
session plays for inlets alone, is not evicted, and does no work for outlets without inlets.
LSL has no event for an inlet's coming and going, hence the poll. Whether inlets that are there
count as a listener is decided by `ConsumerPresence`. A change of speed changes the nominal rate,
which an outlet cannot change: new ones are made with the same source ids, and inlets
recover by them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.output import SessionEvent
from phantomlink.engine.session import NO_FILTER, Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.errors import LslUnavailableError
from phantomlink.metrics import Histogram
from phantomlink.outputs.lsl.consumer_presence import ConsumerPresence
from phantomlink.outputs.lsl.sink import LslSink, OutletGroup
from phantomlink.outputs.lsl.stream_description import StreamSpec

if TYPE_CHECKING:
    from phantomlink.outputs.lsl.manager import LslManager

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_DESTROY_SECONDS = 3.0
_MARKERS = {
    SessionEvent.PAUSED: "pause",
    SessionEvent.SOUGHT: "seek",
    SessionEvent.STOPPED: "stop",
    SessionEvent.ENDED: "end",
}


class LslOutput:
    """The outlets of one session.

    Args:
        manager: of the outlets of all sessions.
        is_wanted: False for a session that was asked for without.

    Attributes:
        reason: why there are no outlets now; None when there are.
        streams: the outlets that there are.
        settled: set once it is known whether there are outlets.
        push_duration: of the pushes of each tick.
    """

    def __init__(self, manager: LslManager, *, is_wanted: bool = True) -> None:
        self._manager = manager
        self.is_wanted = is_wanted
        self.reason: str | None = "the outlets are being made"
        self.streams: tuple[StreamSpec, ...] = ()
        self.settled = trio.Event()
        self.push_duration = Histogram()
        self._attendance = ConsumerPresence()
        self._group: OutletGroup | None = None
        self._sink: LslSink | None = None
        self._ended_with: int | None = None
        self._wake = trio.Event()
        self._is_silent = False
        self._is_paced = False

    @property
    def has_consumers(self) -> bool:
        """Whether an inlet is connected to any of the outlets."""
        return self._group is not None and any(self._group.consumers())

    def as_json(self) -> dict[str, Any]:
        """What REST says of the session's LSL streams."""
        return {
            "is_available": self.reason is None,
            "reason": self.reason,
            "has_consumers": self.has_consumers,
            "streams": [spec.as_json() for spec in self.streams],
        }

    async def run(self, session: Session) -> None:
        """Have outlets as long as the session lives; return at once when it is to have none."""
        refused = self._manager.admit(session, is_wanted=self.is_wanted)
        if refused is not None:
            self._have_none(refused)
            return
        try:
            async with self._manager.turn(session.code):
                while True:
                    group = await self._manager.make(session)
                    await self._serve(session, group)
        except LslUnavailableError as error:
            logger.warning("Session %s has no LSL outlets: %s", shown_code(session.code), error)
            self._have_none(str(error))
        finally:
            self._manager.leave(session)

    async def _serve(self, session: Session, group: OutletGroup) -> None:
        """Have these outlets until the session's speed changes.

        Raises:
            LslUnavailableError: pushing to them has failed.
        """
        self._group, self.streams, self.reason = group, group.specs, None
        self._is_paced = False
        self.settled.set()
        try:
            with session.observed(lambda event: self._on_event(session, group, event)):
                await self._attend(session, group)
        finally:
            self._unsubscribe(session)
            self._attendance.remade()
            self._group = None
            with trio.move_on_after(_DESTROY_SECONDS, shield=True):
                await self._manager.destroy(group)

    async def _attend(self, session: Session, group: OutletGroup) -> None:
        while not self._is_paced:
            if self._ended_with is not None:
                if self._ended_with == CLOSE_INTERNAL_ERROR and not session.is_closed:
                    raise LslUnavailableError("pushing to them has failed; the log says how")
                self._unsubscribe(session)
            if not self._attendance.look(group.consumers()):
                self._unsubscribe(session)
            elif self._sink is None:
                self._sink = LslSink(
                    group, self.push_duration, session.sent_otherwise, self._on_end
                )
                session.subscribe(NO_FILTER, session.main, self._sink)
            self._wake = trio.Event()
            with trio.move_on_after(_POLL_SECONDS):
                await self._wake.wait()

    def _unsubscribe(self, session: Session) -> None:
        if self._sink is not None:
            session.unsubscribe(self._sink)
            self._sink = self._ended_with = None

    def _on_end(self, code: int) -> None:
        """The session has let go of the sink."""
        self._ended_with = code
        self._wake.set()

    def _on_event(self, session: Session, group: OutletGroup, event: SessionEvent) -> None:
        now_ns = session.parts.clock.now_ns()
        if event in _MARKERS:
            group.mark(_MARKERS[event], now_ns)
        elif event is SessionEvent.RESUMED and self._is_silent:
            group.mark("resume", now_ns)
        if event in {SessionEvent.STOPPED, SessionEvent.ENDED}:
            self._attendance.hold(group.consumers())
        elif event in {SessionEvent.RESUMED, SessionEvent.ARRIVED}:
            self._attendance.release()
        elif event is SessionEvent.PACED:
            self._is_paced = True
        self._is_silent = session.is_paused or self._attendance.is_held
        self._wake.set()

    def _have_none(self, reason: str) -> None:
        self.reason, self.streams = reason, ()
        self.settled.set()


def lsl_output(session: Session) -> LslOutput | None:
    """What has the session's LSL outlets; None for a session that no service has made."""
    return next((it for it in session.outputs if isinstance(it, LslOutput)), None)
