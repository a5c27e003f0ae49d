"""Sessions of the last run, from a worker that reads them to the workers that go on with them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import trio

from phantomlink.cluster.child import Child
from phantomlink.cluster.messages import ReadState, Ready, StateRead
from phantomlink.engine.directory import MemoryDirectory, SessionRecord
from phantomlink.state.form import RecordingIdentity

logger = logging.getLogger(__name__)


class ComingBack:
    """What the parent is told of the recording, and sees come back.

    Args:
        directory: of the sessions.
        ready: workers that can serve now, by name.
        inherit: lets sessions that nobody owns go on.
        reserve: answers whether a session may be here: no other node has it.

    Attributes:
        directory: as given.
        sha256: of the default dataset's file; None while it is not known.
    """

    def __init__(
        self,
        directory: MemoryDirectory,
        ready: Mapping[str, Child],
        inherit: Callable[[Sequence[SessionRecord]], None],
        reserve: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.directory = directory
        self._ready = ready
        self._inherit = inherit
        self._reserve = reserve
        self.sha256: str | None = None
        self._identity: RecordingIdentity | None = None
        self._read: StateRead | None = None
        self._missing: set[str] = set()
        self._news = trio.Event()

    @property
    def identity(self) -> RecordingIdentity:
        """Of the recording that sessions play which name no dataset; known once one is ready."""
        assert self._identity is not None
        return self._identity

    def came(self, ready: Ready) -> None:
        """A worker is ready."""
        self._identity = RecordingIdentity(ready.dataset, ready.size_bytes, ready.modified_ns)
        self.look()

    def has_read(self, read: StateRead) -> None:
        """A worker has answered `read_state`."""
        self._read = read
        self.look()

    def settle(self, code: str) -> None:
        """A session is where it should be, or cannot be."""
        if code in self._missing:
            self._missing.remove(code)
            self.look()

    def look(self) -> None:
        """A worker has come or gone."""
        self._news.set()
        self._news = trio.Event()

    async def read_state(self, folder: Path) -> StateRead:
        """What the last run has left, read by a worker."""
        while self._read is None:
            child = next(iter(self._ready.values()), None)
            if child is not None:
                child.channel.send_nowait(ReadState(str(folder)))
            while self._read is None:
                await self._news.wait()
                if child is None or self._ready.get(child.node) is not child:
                    break
        return self._read

    async def bring_back(self, records: Sequence[SessionRecord]) -> int:
        """Let sessions of the last run be there again; how many are."""
        free = [record for record in records if await self._reserve(record.code)]
        if len(free) < len(records):
            n_elsewhere = len(records) - len(free)
            logger.info("Sessions of the last run that other nodes have now: %d", n_elsewhere)
        codes = {record.code for record in free}
        self._missing = set(codes)
        self._inherit(free)
        while self._missing:
            await self._news.wait()
        return sum(self.directory.has(code) for code in codes)
