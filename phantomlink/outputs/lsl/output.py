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
from typing import Any

import trio

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.events import NO_FILTER, SessionEvent, SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.errors import LslUnavailableError
from phantomlink.outputs.lsl.consumer_presence import ConsumerPresence
from phantomlink.outputs.lsl.manager import LslManager
from phantomlink.outputs.lsl.sink import LSL, LslSink, OutletGroup
from phantomlink.outputs.lsl.stream_description import StreamSpec

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_DESTROY_SECONDS = 3.0
_MARKERS = {
    SessionEventKind.PAUSED: "pause",
    SessionEventKind.SOUGHT: "seek",
    SessionEventKind.STOPPED: "stop",
    SessionEventKind.ENDED: "end",
}
_FOLLOWED = {*_MARKERS, SessionEventKind.RESUMED, SessionEventKind.PACED}


class LslOutput:
    """The outlets of one session.

    Args:
        manager: of the outlets of all sessions.
        is_wanted: False for a session that was asked for without.

    Attributes:
        reason: why there are no outlets now; None when there are.
        streams: the outlets that there are.
        settled: set once it is known whether there are outlets.
    """

    kind = LSL

    def __init__(self, manager: LslManager, *, is_wanted: bool = True) -> None:
        self._manager = manager
        self.is_wanted = is_wanted
        self.reason: str | None = "the outlets are being made"
        self.streams: tuple[StreamSpec, ...] = ()
        self.settled = trio.Event()
        self._presence = ConsumerPresence()
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
            async with self._manager.exclusive(session.code):
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
            with session.followed_by(lambda event: self._on_event(session, group, event)):
                await self._attend(session, group)
        finally:
            self._unsubscribe(session)
            self._presence.remade()
            self._group = None
            with trio.move_on_after(_DESTROY_SECONDS, shield=True):
                await self._manager.destroy(group)

    async def _attend(self, session: Session, group: OutletGroup) -> None:
        while not self._is_paced:
            if self._ended_with is not None:
                if self._ended_with == CLOSE_INTERNAL_ERROR and not session.is_closed:
                    raise LslUnavailableError("pushing to them has failed; the log says how")
                self._unsubscribe(session)
            if not self._presence.look(group.consumers()):
                self._unsubscribe(session)
            elif self._sink is None:
                duration = session.counters.latency(LSL)
                self._sink = LslSink(group, duration, self._on_end)
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
        kind = event.kind
        is_ours = kind in _FOLLOWED and event.filter == NO_FILTER
        if not (is_ours or event.starts_main):
            return
        if kind in _MARKERS:
            group.mark(_MARKERS[kind], event.at_ns)
        elif kind is SessionEventKind.RESUMED and self._is_silent:
            group.mark("resume", event.at_ns)
        if kind in {SessionEventKind.STOPPED, SessionEventKind.ENDED}:
            self._presence.hold(group.consumers())
        elif kind is SessionEventKind.RESUMED or event.starts_main:
            self._presence.release()
        elif kind is SessionEventKind.PACED:
            self._is_paced = True
        self._is_silent = session.is_paused or self._presence.is_held
        self._wake.set()

    def _have_none(self, reason: str) -> None:
        self.reason, self.streams = reason, ()
        self.settled.set()
