"""Room for a new session where there are as many as there may be: the oldest idle one goes.

The limit is of all workers together, so each is asked which of its sessions could go.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import trio

from phantomlink.cluster.child import Child
from phantomlink.cluster.messages import AskIdle, Evict, Idle
from phantomlink.engine.directory import MemoryDirectory

_ANSWER_SECONDS = 0.25
_END_SECONDS = 1.0


class RoomMaker:
    """Asks the workers.

    Args:
        directory: of the sessions.
        max_sessions: of all workers.
    """

    def __init__(self, directory: MemoryDirectory, max_sessions: int) -> None:
        self._directory = directory
        self._max_sessions = max_sessions
        self._calls = itertools.count()
        self._answers: dict[int, Idle | None] = {}
        self._lock = trio.StrictFIFOLock()
        self._changed = trio.Event()

    def answered(self, answer: Idle) -> None:
        """A worker has answered."""
        if answer.call in self._answers:
            self._answers[answer.call] = answer
            self.look()

    def look(self) -> None:
        """A worker has said something, or a session has ended."""
        self._changed.set()

    async def _news(self) -> None:
        self._changed = trio.Event()
        await self._changed.wait()

    async def make(self, children: Iterable[Child]) -> str:
        """Make room for one session if there is none; answers why there is still none, or ""."""
        if len(self._directory) < self._max_sessions:
            return ""
        async with self._lock:
            asked = {next(self._calls): child for child in children}
            self._answers = dict.fromkeys(asked)
            for call, child in asked.items():
                child.channel.send_nowait(AskIdle(call))
            with trio.move_on_after(_ANSWER_SECONDS):
                while None in self._answers.values():
                    await self._news()
            idle = [each for each in self._answers.values() if each is not None and each.code]
            self._answers = {}
            if idle:
                oldest = max(idle, key=lambda each: each.seconds)
                assert oldest.code is not None
                asked[oldest.call].channel.send_nowait(Evict(oldest.code))
                with trio.move_on_after(_END_SECONDS):
                    while self._directory.has(oldest.code):
                        await self._news()
            if len(self._directory) < self._max_sessions:
                return ""
        return (
            f"all {self._max_sessions} sessions have listeners; "
            "delete one, or let the server have more (PHANTOM_MAX_SESSIONS)"
        )
