"""Goes on with the sessions of a worker or node that is gone, from their records.

A playhead that was listened to counts as listened to until its first client is back, for
`RETURN_SECONDS` at most: so that the client finds the packet that is due by then. Afterwards it
holds, as it does without listeners. A client that was kept waiting may have tried at several nodes:
the connection that it has left comes here first, and must not end the wait for the one it uses.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import trio

from phantomlink.cluster.records import WorkerOwnership
from phantomlink.cluster.session_making import SessionMaking
from phantomlink.cluster.session_record import filter_of
from phantomlink.engine.directory import SessionRecord
from phantomlink.engine.events import SessionEvent, SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.engine.silent_listener import SilentListener
from phantomlink.errors import PhantomLinkError
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.loop_budget import after_late_ticks

logger = logging.getLogger(__name__)

RETURN_SECONDS = 10.0
_LEFT_SECONDS = 1.0
_AT_A_TIME = 8
# So long the ticks of others go before sessions that wait to go on: about what clients do not mind.
_GENTLE_SECONDS = 0.5


class Takeover:
    """What a worker inherits.

    Args:
        making: makes them.
        ownership: writes the records of what it has taken over.
        nursery: in which it waits for clients to come back.
    """

    def __init__(
        self,
        making: SessionMaking,
        ownership: WorkerOwnership,
        nursery: trio.Nursery,
    ) -> None:
        self._making = making
        self._ownership = ownership
        self._nursery = nursery
        self._expected: dict[str, trio.Event] = {}

    def expect(self, records: Sequence[SessionRecord]) -> None:
        """These sessions are ours from now on: requests for them wait until they are here."""
        by_data: dict[str | None, list[SessionRecord]] = {}
        for record in records:
            self._expected[record.code] = trio.Event()
            by_data.setdefault(record.sha256, []).append(record)
        # A dataset that has to be opened first keeps no sessions of others waiting.
        for its in by_data.values():
            self._nursery.start_soon(self._take_over, its)

    async def arrival(self, code: str) -> None:
        """Wait until a session is here, if it is on its way."""
        expected = self._expected.get(code)
        if expected is not None:
            await expected.wait()

    async def _take_over(self, records: Sequence[SessionRecord]) -> None:
        n_back = 0
        # Each waits for a thread, and for the turn of a loop that new clients keep busy.
        places = trio.Semaphore(_AT_A_TIME)
        gentle_until = trio.current_time() + _GENTLE_SECONDS

        async def go_on(record: SessionRecord) -> None:
            nonlocal n_back
            n_back += await self._go_on(record)
            places.release()

        async with trio.open_nursery() as nursery:
            # Somebody waits for those that are listened to.
            for record in sorted(records, key=_is_unheard):
                await places.acquire()
                nursery.start_soon(go_on, record)
                if trio.current_time() < gentle_until:
                    await after_late_ticks()
        if any(record.revision for record in records):
            logger.warning("Sessions that go on here, of a process that has ended: %d", n_back)

    async def _go_on(self, record: SessionRecord) -> bool:
        shown = shown_code(record.code)
        extra = {"session": shown}
        try:
            session = await self._making.made(record)
        except (PhantomLinkError, OSError) as error:
            said = "cannot go on here" if record.revision else "does not come back"
            logger.warning("Session %s %s: %s", shown, said, error, extra=extra)
            self._ownership.give_back(record)
            return False
        else:
            self._put_back(session, record)
            self._ownership.keep(session, record)
            return True
        finally:
            self._expected.pop(record.code).set()

    def _put_back(self, session: Session, record: SessionRecord) -> None:
        """Let the session be where it should be by now."""
        session.is_paused, session.is_stopped = record.is_paused, record.is_stopped
        now_ns = session.parts.clock.now_ns()
        for playhead in record.playheads:
            wanted = filter_of(playhead)
            if playhead.is_listened_to and not record.is_stopped:
                self._await_return(session, wanted)
            playback = session.playbacks().get(wanted)
            if playback is None:
                continue
            length = playback.playhead.selection.length
            if playhead.anchor.position < length:
                anchor = playhead.anchor.at(
                    now_ns, session.rate_hz, length, loop=session.parts.loop
                )
                playback.go_on_from(anchor)
            else:
                logger.warning(
                    "Session %s begins anew: its recording has no bin %d",
                    *(shown_code(session.code), playhead.anchor.position),
                )

    def _await_return(self, session: Session, wanted: Filter) -> None:
        absent = SilentListener("absent")
        session.subscribe(wanted, session.playback(wanted), absent)
        back, following = trio.Event(), ExitStack()
        # From now on: a client may be here before the task is.
        following.enter_context(session.followed_by(partial(_tell_of_return, back, wanted)))
        self._nursery.start_soon(self._wait_for, session, absent, back, following)

    async def _wait_for(
        self, session: Session, absent: SilentListener, back: trio.Event, following: ExitStack
    ) -> None:
        with following, trio.move_on_after(RETURN_SECONDS):
            await back.wait()
            await trio.sleep(_LEFT_SECONDS)
        session.unsubscribe(absent)


def _is_unheard(record: SessionRecord) -> bool:
    return not any(playhead.is_listened_to for playhead in record.playheads)


def _tell_of_return(back: trio.Event, wanted: Filter, event: SessionEvent) -> None:
    came = event.kind is SessionEventKind.LISTENER_CAME and event.filter == wanted
    if came or event.kind is SessionEventKind.CLOSED:
        back.set()
