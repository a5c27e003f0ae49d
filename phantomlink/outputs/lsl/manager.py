"""LSL in the whole server: whether there is any, who has outlets, and the threads for them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar
from weakref import WeakKeyDictionary

import trio

from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.session import Session
from phantomlink.errors import LslUnavailableError, ThreadLimitError
from phantomlink.files.slots import LocalSlots, Slots
from phantomlink.outputs.lsl.discovery_relay import DiscoveryRelay
from phantomlink.outputs.lsl.markers import bin_markers
from phantomlink.outputs.lsl.outlets import (
    LoadLibrary,
    LslLibrary,
    Outlet,
    load_pylsl,
)
from phantomlink.outputs.lsl.scope import effective_scope
from phantomlink.outputs.lsl.sink import OutletGroup
from phantomlink.outputs.lsl.stream_description import (
    StreamDescription,
    StreamSpec,
    session_streams,
)
from phantomlink.scheduling.worker_thread import run_in_thread, run_in_thread_patiently
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

# Destroying an outlet blocks 25 ms, eight at once no longer.
_THREADS = 8

T = TypeVar("T")
Describe = Callable[[Session], StreamDescription]


class RunBlocking(Protocol):
    """Runs a call that blocks without blocking the event loop."""

    async def __call__(self, call: Callable[[], T], *, may_be_left: bool = False) -> T:
        """The call's result.

        Args:
            call: what blocks.
            may_be_left: whether a cancellation leaves it running; else it is waited for.
        """
        ...


class LslManager:
    """Which sessions have outlets.

    Args:
        settings: what the server was told.
        describe: what the streams of a session tell about where they come from.
        load: loads LSL; is called once.
        run_blocking: what runs loading, making and destroying; None for worker threads.
        slots: of sessions with outlets; None for those of one process.
    """

    def __init__(
        self,
        settings: Settings,
        describe: Describe,
        load: LoadLibrary = load_pylsl,
        run_blocking: RunBlocking | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._settings = settings
        self._slots = slots or LocalSlots(settings.lsl_max_sessions)
        self._describe = describe
        self._load = load
        self._library: LslLibrary | None = None
        self._reason = "LSL is not loaded"
        self._holders: dict[Session, None] = {}
        self._owners: dict[str, trio.Event] = {}
        self._relay = DiscoveryRelay()
        self._run_blocking = run_blocking or _worker_threads(_THREADS)
        # All sessions of a bin width have the same markers.
        self._markers: WeakKeyDictionary[PlaybackParts, Mapping[int, tuple[str, ...]]] = (
            WeakKeyDictionary()
        )

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Load LSL, then have its streams found for as long as they are kept to this machine."""
        await self._start()
        task_status.started()
        if self._library is not None and self._library.is_confined:
            await self._relay.run()

    async def _start(self) -> None:
        """Load LSL, unless it is switched off. Where it cannot be had, that is logged, once."""
        settings = self._settings
        if not settings.lsl_enabled:
            self._reason = "LSL is switched off (PHANTOM_LSL_ENABLED)"
            return
        scope = effective_scope(settings.lsl_scope, settings.host)
        try:
            self._library, told = await self._run_blocking(partial(self._load, scope))
        except LslUnavailableError as error:
            self._reason = str(error)
            logger.warning("There are no LSL streams: %s", error)
            return
        logger.info("LSL: %s", told)
        if settings.lsl_scope != "auto" and not told.startswith("scope"):
            logger.warning("PHANTOM_LSL_SCOPE has no effect: LSL is %s", told)

    def admit(self, session: Session, *, is_wanted: bool) -> str | None:
        """Let a session have outlets until `leave`; or the reason why it has none.

        It stays so: a session that found no room does not get outlets later.
        """
        if not is_wanted:
            return "the session was asked for without"
        if self._library is None:
            return self._reason
        if not self._slots.use(self._n_living() + 1):
            return (
                f"{self._slots.limit} sessions have outlets already; "
                "let the server have more (PHANTOM_LSL_MAX_SESSIONS), or delete one first"
            )
        self._holders[session] = None
        return None

    def leave(self, session: Session) -> None:
        """Its outlets have gone."""
        self._holders.pop(session, None)
        self._slots.use(self._n_living())

    def _n_living(self) -> int:
        # One that has been closed is about to leave, and must not keep its successor out.
        return sum(not holder.is_closed for holder in self._holders)

    @asynccontextmanager
    async def exclusive(self, code: str) -> AsyncIterator[None]:
        """Wait until the outlets of an earlier session of this code have gone; then be the one.

        Two outlets of one source id at once, and inlets recover to the one that is about to go.
        """
        while (earlier := self._owners.get(code)) is not None:
            await earlier.wait()
        gone = self._owners[code] = trio.Event()
        try:
            yield
        finally:
            del self._owners[code]
            gone.set()

    async def make(self, session: Session) -> OutletGroup:
        """The outlets of a session. Cannot be cancelled halfway.

        Raises:
            LslUnavailableError: liblsl cannot make them.
        """
        library = self._library
        assert library is not None
        specs = session_streams(self._describe(session))
        markers = await self._markers_for(session.parts)
        outlets = await self._run_blocking(partial(_make, library, specs))
        for outlet in outlets:
            self._relay.add(outlet.service_ports)
        return OutletGroup(specs, outlets, markers, library.clock_offset_seconds)

    async def destroy(self, group: OutletGroup) -> None:
        """Destroy outlets, all at the same time."""
        async with trio.open_nursery() as nursery:
            for outlet in group.outlets:
                nursery.start_soon(self._destroy, outlet)

    async def _destroy(self, outlet: Outlet) -> None:
        self._relay.discard(outlet.service_ports)
        await self._run_blocking(outlet.destroy, may_be_left=True)

    async def _markers_for(self, parts: PlaybackParts) -> Mapping[int, tuple[str, ...]]:
        markers = self._markers.get(parts)
        if markers is None:
            markers = await self._run_blocking(partial(bin_markers, parts.bins.trials, parts.grid))
            self._markers[parts] = markers
        return markers


def _worker_threads(n: int) -> RunBlocking:
    limiter = trio.CapacityLimiter(n)

    async def run(call: Callable[[], T], *, may_be_left: bool = False) -> T:
        if may_be_left:
            return await run_in_thread_patiently(call, limiter=limiter, abandon_on_cancel=True)
        try:
            return await run_in_thread(call, limiter=limiter)
        except ThreadLimitError as error:
            raise LslUnavailableError(str(error)) from error

    return run


def _make(library: LslLibrary, specs: tuple[StreamSpec, ...]) -> tuple[Outlet, ...]:
    made: list[Outlet] = []
    try:
        for spec in specs:
            made.append(library.make(spec))
    except LslUnavailableError:
        for outlet in made:
            outlet.destroy()
        raise
    return tuple(made)
