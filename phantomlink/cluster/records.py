"""The sessions of a worker: their records are written when something happens to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from phantomlink.cluster.kept_session import KeptSession
from phantomlink.cluster.links import Links
from phantomlink.cluster.worker_slots import slots_of
from phantomlink.engine.directory import SessionRecord
from phantomlink.engine.events import SessionEvent, SessionEventKind
from phantomlink.engine.fence import Fence
from phantomlink.engine.session import Session
from phantomlink.files.slots import SlotKind, Slots
from phantomlink.service.ownership import Keep, NodeIdentity
from phantomlink.service.service import Service


class WorkerOwnership:
    """The sessions of one worker: reserved before they are made, written down as they change.

    Args:
        links: to the parent.
        service: of this worker, once there is one.
        epoch: that it writes records with.
        slots: descriptor of the file with the slots of all workers.

    Attributes:
        fence: until when packets may leave, where there are other nodes.
    """

    def __init__(
        self, links: Links, service: Callable[[], Service], epoch: int, slots: int
    ) -> None:
        self.fence = None if links.standing is None else Fence()
        self._epoch = epoch
        self._slots = slots
        self._links = links
        self._service = service
        self._kept: dict[Session, KeptSession] = {}

    @property
    def node(self) -> NodeIdentity:
        """This worker."""
        standing = self._links.standing
        if standing is None:
            return NodeIdentity(self._links.node, self._epoch)
        return NodeIdentity(self._links.node, self._epoch, standing.state, standing.clock_offset_ns)

    def slots(self, kind: SlotKind, limit: int) -> Slots:
        """As `Ownership.slots`: of all workers together."""
        return slots_of(self._slots, kind, limit)

    @asynccontextmanager
    async def reserved(self, code: str) -> AsyncIterator[Keep]:
        """As `Ownership.reserved`."""
        if self._service().registry.find(code) is None:
            await self._links.reserve(code)
        try:
            yield self.keep
        finally:
            if self._service().registry.find(code) is None:
                self._links.forget(code)

    def keep(self, session: Session, before: SessionRecord | None = None) -> None:
        """Write the session down, now and whenever something happens to it.

        Args:
            session: that has been made.
            before: its record when another process had it; None for a new one.
        """
        if session in self._kept:
            return
        self._kept[session] = kept = KeptSession(session, before)
        kept.following.enter_context(session.followed_by(partial(self._follow, kept)))
        self.write(kept)

    def kept(self, code: str) -> KeptSession | None:
        """A session of this worker."""
        session = self._service().registry.find(code)
        return None if session is None else self._kept.get(session)

    def each_kept(self) -> list[KeptSession]:
        """All sessions of this worker."""
        return list(self._kept.values())

    def write_again(self) -> None:
        """Write all sessions down whose file's digest was not known when that was done last."""
        for session, kept in self._kept.items():
            if kept.has_no_digest and session.open_recording.sha256 is not None:
                self.write(kept)

    def give_back(self, record: SessionRecord) -> None:
        """A session that was to be here cannot be."""
        self._links.give_back(record.code)

    def _follow(self, kept: KeptSession, event: SessionEvent) -> None:
        session = kept.session
        if event.kind is SessionEventKind.CLOSED:
            self._kept.pop(session).following.close()
            # Its code may be another session's by now.
            if self._service().registry.find(session.code) is None:
                self._links.forget(session.code)
        elif session in self._kept and kept.told(event):
            self.write(kept)

    def write(self, kept: KeptSession) -> None:
        """Write a session down as it is now."""
        self._links.write(kept.record())
