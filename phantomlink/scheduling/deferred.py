"""What serving does not need until somebody asks for it, and is imported then.

Modules of the package take a millisecond each to import, and a server would load some two hundred
that most of its clients never ask for. Whoever is asked first has them imported in a thread: a
tick that is due meanwhile waits for one module at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import trio

from phantomlink.errors import UnavailableError
from phantomlink.scheduling.worker_thread import run_in_thread

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
        """It, loaded in a thread the first time; what has failed is tried again the next time.

        Raises:
            UnavailableError: no thread can be started, or a file of it not be read, for want of
                descriptors perhaps.
        """
        if self._loaded is None:
            try:
                return await run_in_thread(self.load)
            except (OSError, ImportError) as error:
                raise UnavailableError(f"a part of the server cannot be loaded: {error}") from error
        return self._loaded[0]

    def load(self) -> T:
        """It, loaded here the first time; blocks then."""
        if self._loaded is None:
            self._loaded = (self._load(),)
        return self._loaded[0]


class OnDemand(Generic[RunningT]):
    """A part of the server that is imported, made and started when it is first asked for.

    Args:
        load: imports and makes it; called in a thread.
    """

    def __init__(self, load: Callable[[], RunningT]) -> None:
        self._deferred = Deferred(load)
        self._starting = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._part: RunningT | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the part once it has been asked for, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    async def get(self) -> RunningT:
        """The part, which runs. Cancelled before it does, it has not been started.

        Raises:
            UnavailableError: it cannot be loaded now, or the server is starting.
        """
        if self._part is None:
            async with self._starting:
                if self._part is None:
                    part = await self._deferred.get()
                    if self._nursery is None:
                        raise UnavailableError("the server is starting: try again")
                    await self._nursery.start(part.run)
                    self._part = part
        return self._part
