"""Makes a session as a record says that it is, with the data that it plays where it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from phantomlink.close_codes import CLOSE_SESSION_GONE
from phantomlink.cluster.known_datasets import KnownDatasets
from phantomlink.cluster.session_record import state_of
from phantomlink.engine.directory import SessionRecord
from phantomlink.engine.fence import Fence
from phantomlink.engine.output import Output
from phantomlink.engine.session import Session
from phantomlink.errors import UnavailableError
from phantomlink.service.dataset_errors import DatasetBusyError
from phantomlink.service.service import Service
from phantomlink.state.file import SessionState

# Each waits 10 s for a dataset that is being opened.
_OPENING_TRIES = 6
_Mirrors = tuple[Fence, Sequence[Output[Session]]]


class SessionMaking:
    """In one worker.

    Args:
        service: of the worker.
        known: datasets that sessions of other nodes may play here; None without other nodes.
    """

    def __init__(self, service: Service, known: KnownDatasets | None) -> None:
        self._service = service
        self._known = known

    async def made(self, record: SessionRecord, mirrors: _Mirrors | None = None) -> Session:
        """The session, at its beginning.

        Args:
            record: of it.
            mirrors: as for `Sessions.make_again`.

        Raises:
            PhantomLinkError: it cannot be made.
            OSError: its file cannot be read.
        """
        service, known = self._service, self._known
        if known is not None and record.sha256 is not None:
            record = replace(record, dataset=known.name_of(record.sha256, record.dataset))
        state = state_of(record, service.recording.dataset)
        if known is not None and record.sha256 is not None:
            # The file is another one; its digest is compared.
            state = replace(state, dataset_file=None)
        session = await self._once_open(state, mirrors)
        is_right = False
        try:
            await self._check_content(session, record)
            is_right = True
        finally:
            # Also where this is cancelled: nobody else knows of it yet.
            if not is_right:
                registry = service.registry if mirrors is None else service.mirrored
                registry.end(session, CLOSE_SESSION_GONE, "session deleted")
        session.created_at = state.created_at
        return session

    async def _once_open(self, state: SessionState, mirrors: _Mirrors | None) -> Session:
        """The session, made as soon as its dataset is open."""
        for _ in range(_OPENING_TRIES - 1):
            with suppress(DatasetBusyError):
                return await self._service.sessions.make_again(state, mirrors=mirrors)
        return await self._service.sessions.make_again(state, mirrors=mirrors)

    async def _check_content(self, session: Session, record: SessionRecord) -> None:
        """See that the dataset is what the session played; in another node it may be another."""
        opened = session.open_recording
        recording = opened.recording
        if opened.sha256 is None and self._known is not None and record.sha256 is not None:
            opened.sha256 = self._known.sha256_as(recording.dataset, recording.identity)
            await opened.digest()
        if None not in (opened.sha256, record.sha256) and opened.sha256 != record.sha256:
            raise UnavailableError(f"dataset {record.dataset!r} has other content here")
