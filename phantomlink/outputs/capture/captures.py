"""All captures of a server: those that run, and those that lie in its folder.

One task writes for all of them, four times a second and in a thread of its own; another sees once
a second, in another thread, that what was written is on the disk: a disk that is slow holds up
neither what comes next nor anything else. Each does so for all captures in one go: a thread that
is asked for each of them costs the process more than what it has to write. What became of a
finished capture is kept in a JSON file beside its journal; a journal without one is of a process
that died. A finished one is read in another process, which makes its NWB file: what it tells is
kept too, and what has not been read is so at the next start.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import trio

from phantomlink.captures.journal_writer import is_being_written, segment_paths
from phantomlink.engine.events import SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.errors import (
    CaptureConflictError,
    CaptureError,
    CaptureNotFoundError,
    CaptureRoomError,
    ThreadLimitError,
)
from phantomlink.files.slots import Slots
from phantomlink.outputs.capture.conversions import Conversion, Conversions, Converted
from phantomlink.outputs.capture.described import Descriptions
from phantomlink.outputs.capture.infos import (
    COMPLETE,
    FORMS,
    RUNNING,
    CaptureInfo,
    form_path,
    found_info,
    info_of,
    keep,
    read_info,
)
from phantomlink.outputs.capture.limits import CaptureLimits, FolderUse
from phantomlink.outputs.capture.running import RunningCapture, shown_session
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.worker_thread import run_in_thread, run_in_thread_patiently
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

_WRITE_SECONDS = 0.25
_SYNC_SECONDS = 1.0
_LAST_SECONDS = 5.0


class Captures:
    """The captures of a server.

    Args:
        folder: where they are kept; it is made when the first one starts.
        slots: of captures at once.
        limits: what they may write.
        settings: that name LSL streams.
        found: called when there is another dataset.
        keep_cpu: a context in which packets have the CPU before a process of ours that computes.
    """

    def __init__(
        self,
        folder: Path,
        slots: Slots,
        limits: CaptureLimits,
        settings: Settings,
        found: Callable[[], Awaitable[object]] | None = None,
        keep_cpu: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._folder = folder
        self._slots = slots
        self._limits = limits
        self._thread = trio.CapacityLimiter(1)
        self._sync_thread = trio.CapacityLimiter(1)
        self._descriptions = Descriptions(settings)
        self._dataset_found = found
        self._conversions = Conversions(self._converted, self._after_conversion, keep_cpu)
        self._running: dict[str, RunningCapture] = {}
        # Of those the journal is being made.
        self._beginning: set[RunningCapture] = set()
        self._finished: dict[str, CaptureInfo] = {}
        self._has_work = trio.Event()

    async def start(
        self,
        session: Session,
        wanted: Filter,
        title: str,
        max_seconds: float = math.inf,
        *,
        keeps_playing: bool = False,
    ) -> CaptureInfo:
        """Begin to capture a playhead of a session.

        Raises:
            CaptureConflictError: it is captured already.
            CaptureRoomError: as many run as may.
            DiskFullError: there is no room for one.
            CaptureError: the folder cannot be written.
            NoMatchingBinsError: the filter matches nothing.
        """
        session.playback(wanted)
        try:
            self._check(session, wanted)
            await run_in_thread(self._limits.check_room, self._folder, limiter=self._thread)
            described = await run_in_thread(
                self._descriptions.of,
                session,
                shown_session(session) or "private",
                limiter=self._thread,
            )
            self._check(session, wanted)
            capture = RunningCapture(
                session,
                wanted,
                title,
                self._folder,
                max_seconds,
                self._limits,
                described,
                keeps_playing=keeps_playing,
            )
            await self._open(capture)
        except ThreadLimitError:
            raise
        except OSError as error:
            raise CaptureError(f"{self._folder} cannot be written: {error.strerror}") from error
        finally:
            self._slots.use(self._n_running)
        self._has_work.set()
        session.announce(SessionEventKind.CAPTURE, capture.capture_id)
        return info_of(capture)

    async def _open(self, capture: RunningCapture) -> None:
        """Begin its journal; it is none of those that run before."""
        self._beginning.add(capture)
        try:
            await run_in_thread(capture.open, limiter=self._thread)
        except BaseException:
            capture.detach("it could not begin")
            raise
        finally:
            self._beginning.discard(capture)
        self._running[capture.capture_id] = capture

    async def stop(self, capture_id: str) -> CaptureInfo:
        """End a capture and write it; twice is fine.

        Raises:
            CaptureNotFoundError: there is none.
        """
        capture = self._running.get(capture_id)
        if capture is not None:
            await capture.settle()
            capture.detach("stopped")
            await self._finish(capture)
        return self.get(capture_id)

    def get(self, capture_id: str) -> CaptureInfo:
        """One capture.

        Raises:
            CaptureNotFoundError: there is none.
        """
        capture = self._running.get(capture_id)
        if capture is not None:
            return info_of(capture)
        try:
            return self._finished[capture_id]
        except KeyError:
            raise CaptureNotFoundError(f"no capture {capture_id!r}") from None

    def __iter__(self) -> Iterator[CaptureInfo]:
        """All but those of private sessions, the latest first."""
        known = {name: info_of(capture) for name, capture in self._running.items()}
        known |= self._finished
        return (known[name] for name in sorted(known, reverse=True) if known[name].session)

    async def file(self, capture_id: str, form: str) -> Path | None:
        """A form of a finished capture; None while it is being made: ask again.

        Raises:
            CaptureNotFoundError: there is none.
            CaptureConflictError: it is running, or has no such form.
        """
        info = self.get(capture_id)
        if info.state == RUNNING:
            raise CaptureConflictError(f"capture {capture_id} is running: stop it first")
        path = form_path(self._folder, info, form)
        if form == "journal" and info.state == COMPLETE:
            return path
        if not info.is_read:
            return None
        if form in info.failed:
            # What comes next makes it anew: the reason may be gone.
            left = {name: why for name, why in info.failed.items() if name != form}
            self._finished[capture_id] = replace(info, problems=left)
            raise CaptureConflictError(f"capture {capture_id} has no {form}: {info.failed[form]}")
        if form == "recipe" and not info.has_recipe:
            raise CaptureConflictError(f"capture {capture_id} has no recipe: {info.no_recipe}")
        if await run_in_thread(path.exists):
            return path
        if form == "journal":
            raise CaptureConflictError(f"capture {capture_id}: its journal is gone")
        self._make(info, form)
        return None

    async def delete(self, capture_id: str) -> None:
        """Stop a capture and remove its files.

        Raises:
            CaptureNotFoundError: there is none.
            CaptureConflictError: it is being converted.
        """
        running = self._running.get(capture_id)
        if running is not None:
            running.detach("deleted")
            await self._finish(running, converts=False)
        info = self.get(capture_id)
        if self._conversions.is_busy(capture_id):
            raise CaptureConflictError(f"capture {capture_id} is being converted: ask again")
        self._conversions.forget(capture_id)
        path = self._folder / f"{capture_id}.plj"
        forms = [form_path(self._folder, info, form) for form in FORMS]

        def remove() -> None:
            for each in (*forms, *segment_paths(path), path.with_suffix(".json")):
                each.unlink(missing_ok=True)

        await run_in_thread(remove, limiter=self._thread)
        del self._finished[capture_id]
        if self._dataset_found is not None:
            await self._dataset_found()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled; then finish what runs."""
        self._finished |= await run_in_thread_patiently(self._found, limiter=self._thread)
        for info in self._finished.values():
            if not info.is_read:
                self._make(info, "nwb")
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sync_forever)
                nursery.start_soon(self._conversions.run)
                while True:
                    await self._has_work.wait()
                    while self._running:
                        await trio.sleep(_WRITE_SECONDS)
                        await self._write_all()
                    self._has_work = trio.Event()
        finally:
            # A disk that stands still does not keep the server: its journals are recovered.
            with trio.move_on_after(_LAST_SECONDS, shield=True):
                for capture in list(self._running.values()):
                    capture.detach("the server is going away")
                    await self._finish(capture)

    async def _sync_forever(self) -> None:
        while True:
            await self._has_work.wait()
            await trio.sleep(_SYNC_SECONDS)
            running = list(self._running.values())
            await run_in_thread_patiently(
                self._sync_now, running, limiter=self._sync_thread, abandon_on_cancel=True
            )

    def _sync_now(self, captures: Iterable[RunningCapture]) -> None:
        try:
            use = FolderUse.of(self._folder)
        except OSError as error:
            for capture in captures:
                capture.fail(error)
        else:
            for capture in captures:
                capture.sync(use)

    async def _write_all(self) -> None:
        for capture in list(self._running.values()):
            if capture.is_over:
                await self._finish(capture)
        # One that is stopped from here on is finished behind this, in the same thread.
        going_on = [capture for capture in self._running.values() if not capture.is_over]
        await run_in_thread_patiently(
            _write_now, going_on, limiter=self._thread, abandon_on_cancel=True
        )

    async def _finish(self, capture: RunningCapture, *, converts: bool = True) -> None:
        """Write the end of a capture that takes no more packets.

        Cancelled, the thread goes on with it, and whoever finishes it again waits for that.
        """
        await run_in_thread_patiently(
            self._finish_now, capture, limiter=self._thread, abandon_on_cancel=True
        )
        if self._running.pop(capture.capture_id, None) is None:
            return  # somebody else has, meanwhile
        self._slots.use(self._n_running)
        if capture.state != "complete":
            logger.warning(
                "Capture %s is %s: %s", capture.capture_id, capture.state, capture.reason
            )
        if converts:
            self._make(self._finished[capture.capture_id], "nwb")

    def _make(self, info: CaptureInfo, form: str) -> None:
        outs = {form: form_path(self._folder, info, form)}
        if not info.is_read:
            outs["recipe"] = form_path(self._folder, info, "recipe")
        journal = form_path(self._folder, info, "journal")
        self._conversions.add(Conversion(info.id, journal, outs))

    async def _converted(self, conversion: Conversion, made: Converted) -> None:
        """Keep what came of a conversion."""
        info = self._finished.get(conversion.capture_id)
        if info is None:
            return
        problems = {**info.failed, **made.problems}
        if made.facts is None:
            why = {form: reason for form, reason in problems.items() if reason is not None}
            info = replace(info, problems=why, is_read=True)
        else:
            info = info.with_facts(made.facts, problems)
        await run_in_thread_patiently(self._keep, info, limiter=self._thread)
        # Who sees it read can delete it: nothing is awaited until it is not busy any more.
        self._finished[info.id] = info

    async def _after_conversion(self, conversion: Conversion) -> None:
        if self._dataset_found is not None and "nwb" in conversion.outs:
            await self._dataset_found()

    def _finish_now(self, capture: RunningCapture) -> None:
        if capture.state != RUNNING:
            return
        capture.finish()
        self._remember(info_of(capture))

    def _check(self, session: Session, wanted: Filter) -> None:
        captures = [*self._running.values(), *self._beginning]
        for capture in captures:
            if capture.session is session and capture.wanted == wanted:
                raise CaptureConflictError(
                    f"session {session.code} with {wanted} is captured already: "
                    f"{capture.capture_id}"
                )
        if not self._slots.use(len(captures) + 1):
            raise CaptureRoomError(
                f"{self._slots.limit} captures run, as many as may (PHANTOM_MAX_CAPTURES)"
            )

    @property
    def _n_running(self) -> int:
        return len(self._running) + len(self._beginning)

    def _remember(self, info: CaptureInfo) -> None:
        self._finished[info.id] = info
        self._keep(info)

    def _keep(self, info: CaptureInfo) -> None:
        try:
            keep(self._folder, info)
        except OSError as error:
            logger.warning("What became of capture %s could not be kept: %s", info.id, error)

    def _found(self) -> dict[str, CaptureInfo]:
        """What lies in the folder."""
        found: dict[str, CaptureInfo] = {}
        names = {path.name.partition(".")[0] for path in self._folder.glob("*.plj")}
        for name in sorted(names):
            path = self._folder / f"{name}.plj"
            try:
                if path.with_suffix(".json").exists():
                    found[name] = read_info(path)
                elif path.exists() and is_being_written(path):
                    continue  # another server's
                else:
                    found[name] = found_info(path)
                    logger.warning("Capture %s has no end: it is recovered", name)
            except (CaptureError, OSError, ValueError, TypeError) as error:
                logger.warning("%s is left alone: %s", path, error)
        return found


def _write_now(captures: Iterable[RunningCapture]) -> None:
    for capture in captures:
        capture.write()
