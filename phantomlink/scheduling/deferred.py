"""What serving does not need until somebody asks for it, and is imported then.

Modules of the package take a millisecond each to import, and a server would load some two hundred
that most of its clients never ask for. Whoever is asked first has them imported in a thread: a
tick that is due meanwhile waits for one module at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import trio

from phantomlink.scheduling.worker_thread import run_in_thread, run_in_thread_patiently

T = TypeVar("T")


class Running(Protocol):
    """What does something as long as the server runs."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Get ready, tell `task_status`, and run until cancelled."""
        ...


RunningT = TypeVar("RunningT", bound=Running)


class Deferred(Generic[T]):
    """Something that is imported, or made of what is, when it is first asked for.

    Args:
        load: imports it; called once, or once by each of those who ask at the same time.
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._loaded: tuple[T] | None = None

    async def get(self) -> T:
        """It, loaded in a thread the first time.

        Raises:
            ThreadLimitError: no thread can be started.
        """
        if self._loaded is None:
            return await run_in_thread(self.load)
        return self._loaded[0]

    def load(self) -> T:
        """It, loaded here the first time; blocks then."""
        if self._loaded is None:
            self._loaded = (self._load(),)
        return self._loaded[0]


class OnDemand(Generic[RunningT]):
    """A part of the server that is imported, made and started when it is first asked for.

    Args:
        load: imports and makes it; called once, in a thread.
    """

    def __init__(self, load: Callable[[], RunningT]) -> None:
        self._load = load
        self._asked = trio.Event()
        self._started = trio.Event()
        self._part: RunningT | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Wait until it is asked for, then run it, until cancelled."""
        task_status.started()
        await self._asked.wait()
        part = await run_in_thread_patiently(self._load)
        async with trio.open_nursery() as nursery:
            await nursery.start(part.run)
            self._part = part
            self._started.set()

    async def get(self) -> RunningT:
        """The part, which runs. Cancelled, it is started nevertheless."""
        if self._part is None:
            self._asked.set()
            await self._started.wait()
            assert self._part is not None
        return self._part
