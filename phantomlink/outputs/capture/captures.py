"""All captures of a server: those that run, and those that lie in its folder.

One task writes for all of them, ten times a second and in a thread of its own; another sees once
a second, in another thread, that what was written is on the disk: a disk that is slow holds up
neither what comes next nor anything else. What became of a finished capture is kept in a JSON
file beside its journal; a journal without one is of a process that died, and is looked at once, at
the start.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import trio

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.journal_writer import is_being_written, segment_paths
from phantomlink.captures.records import Gap, Sent
from phantomlink.engine.events import SessionEventKind
from phantomlink.engine.session import Session
from phantomlink.errors import (
    CaptureConflictError,
    CaptureError,
    CaptureNotFoundError,
    CaptureRoomError,
    DiskFullError,
)
from phantomlink.files.atomic_write import written_atomically
from phantomlink.outputs.capture.running import CaptureLimits, RunningCapture
from phantomlink.recordings.blind import hidden_trials
from phantomlink.recordings.trials import Filter

logger = logging.getLogger(__name__)

_WRITE_SECONDS = 0.1
_SYNC_SECONDS = 1.0
RUNNING = "running"


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What is known of a capture, as `GET /api/captures/{id}` has it.

    Attributes:
        id: its name.
        title: that it was given.
        session: its code; "" of a private one.
        dataset, sha256: of the source.
        state: `running`, `complete`, `torn` or `recovered`.
        reason: why it ended, or is not whole; "" while it runs.
        started_at: ISO 8601, UTC.
        seconds: that it ran.
        packets, lost_packets: that it holds, and does not.
        bytes: of its file.
        first_packet_id, last_packet_id: of those that it holds.
    """

    id: str
    title: str
    session: str
    dataset: str
    sha256: str | None
    state: str
    reason: str
    started_at: str
    seconds: float
    packets: int
    lost_packets: int
    bytes: int
    first_packet_id: int | None
    last_packet_id: int | None


class Captures:
    """The captures of a server.

    Args:
        folder: where they are kept; it is made when the first one starts.
        max_captures: at once.
        limits: what they may write.
    """

    def __init__(self, folder: Path, max_captures: int, limits: CaptureLimits) -> None:
        self._folder = folder
        self._max_captures = max_captures
        self._limits = limits
        self._thread = trio.CapacityLimiter(1)
        self._sync_thread = trio.CapacityLimiter(1)
        self._running: dict[str, RunningCapture] = {}
        self._finished: dict[str, CaptureInfo] = {}
        self._has_work = trio.Event()

    async def start(
        self, session: Session, wanted: Filter, title: str, max_seconds: float = math.inf
    ) -> CaptureInfo:
        """Begin to capture a playhead of a session.

        Raises:
            CaptureConflictError: it is captured already, or it is blind.
            CaptureRoomError: as many run as may.
            DiskFullError: there is no room for one.
            CaptureError: the folder cannot be written.
            NoMatchingBinsError: the filter matches nothing.
        """
        session.playback(wanted)
        self._check(session, wanted)
        try:
            await trio.to_thread.run_sync(self._check_disk, limiter=self._thread)
            self._check(session, wanted)
            capture = RunningCapture(
                session, wanted, title, self._folder, max_seconds, self._limits
            )
        except OSError as error:
            raise CaptureError(f"{self._folder} cannot be written: {error.strerror}") from error
        self._running[capture.capture_id] = capture
        self._has_work.set()
        session.announce(SessionEventKind.CAPTURE, capture.capture_id)
        return info_of(capture)

    async def stop(self, capture_id: str) -> CaptureInfo:
        """End a capture and write it; twice is fine.

        Raises:
            CaptureNotFoundError: there is none.
        """
        capture = self._running.get(capture_id)
        if capture is not None:
            capture.detach("stopped")
            await self._finish(capture, None)
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

    def path(self, capture_id: str) -> Path:
        """The journal of a finished capture.

        Raises:
            CaptureNotFoundError: there is none.
            CaptureConflictError: it is running.
        """
        if self.get(capture_id).state == RUNNING:
            raise CaptureConflictError(f"capture {capture_id} is running: stop it first")
        return self._folder / f"{capture_id}.plj"

    async def delete(self, capture_id: str) -> None:
        """Stop a capture and remove its files.

        Raises:
            CaptureNotFoundError: there is none.
        """
        await self.stop(capture_id)
        path = self._folder / f"{capture_id}.plj"

        def remove() -> None:
            for each in (path, *segment_paths(path), path.with_suffix(".json")):
                each.unlink(missing_ok=True)

        await trio.to_thread.run_sync(remove, limiter=self._thread)
        del self._finished[capture_id]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled; then finish what runs."""
        self._finished |= await trio.to_thread.run_sync(self._found, limiter=self._thread)
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sync_forever)
                while True:
                    await self._has_work.wait()
                    while self._running:
                        await trio.sleep(_WRITE_SECONDS)
                        await self._write_all()
                    self._has_work = trio.Event()
        finally:
            with trio.CancelScope(shield=True):
                for capture in list(self._running.values()):
                    capture.detach("the server is going away")
                    await self._finish(capture, None)

    async def _sync_forever(self) -> None:
        while True:
            await self._has_work.wait()
            await trio.sleep(_SYNC_SECONDS)
            for capture in list(self._running.values()):
                why = await trio.to_thread.run_sync(capture.sync, limiter=self._sync_thread)
                if why is not None and not capture.is_over:
                    capture.detach(why)
                    await self._finish(capture, why)

    async def _write_all(self) -> None:
        for capture in list(self._running.values()):
            if capture.is_over:
                await self._finish(capture, None)
                continue
            why = await trio.to_thread.run_sync(capture.write, limiter=self._thread)
            if why is not None:
                capture.detach(why)
                await self._finish(capture, why)

    async def _finish(self, capture: RunningCapture, torn: str | None) -> None:
        """Write the end of a capture that takes no more packets."""
        await trio.to_thread.run_sync(self._finish_now, capture, torn, limiter=self._thread)
        if self._running.pop(capture.capture_id, None) is None:
            return  # somebody else has, meanwhile
        if capture.state != "complete":
            logger.warning(
                "Capture %s is %s: %s", capture.capture_id, capture.state, capture.reason
            )

    def _finish_now(self, capture: RunningCapture, torn: str | None) -> None:
        if capture.state != RUNNING:
            return
        capture.finish(torn)
        self._remember(info_of(capture))

    def _check(self, session: Session, wanted: Filter) -> None:
        if hidden_trials(session.bins):
            # A journal's header holds the trial table, which tells what the session hides.
            raise CaptureConflictError(
                f"session {session.code} is blind: its capture would tell what it hides; capture "
                "a session that is not"
            )
        for capture in self._running.values():
            if capture.session is session and capture.wanted == wanted:
                raise CaptureConflictError(
                    f"session {session.code} with {wanted} is captured already: "
                    f"{capture.capture_id}"
                )
        if len(self._running) >= self._max_captures:
            raise CaptureRoomError(
                f"{len(self._running)} captures run, as many as may (PHANTOM_MAX_CAPTURES)"
            )

    def _check_disk(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free < self._limits.min_free_bytes:
            raise DiskFullError(
                f"{free // 1_000_000} MB are free in {self._folder}, captures take "
                f"{self._limits.min_free_bytes // 1_000_000} or more "
                "(PHANTOM_CAPTURE_MIN_FREE_MB)"
            )

    def _remember(self, info: CaptureInfo) -> None:
        self._finished[info.id] = info
        try:
            with written_atomically(self._folder / f"{info.id}.json", overwrite=True) as part:
                part.write_text(json.dumps(asdict(info)) + "\n", encoding="utf-8")
        except OSError as error:
            logger.warning("What became of capture %s could not be kept: %s", info.id, error)

    def _found(self) -> dict[str, CaptureInfo]:
        """What lies in the folder; journals that nobody has finished are read."""
        found: dict[str, CaptureInfo] = {}
        names = {path.name.partition(".")[0] for path in self._folder.glob("*.plj")}
        for name in sorted(names):
            path = self._folder / f"{name}.plj"
            try:
                if not path.with_suffix(".json").exists():
                    if path.exists() and is_being_written(path):
                        continue  # another server's
                    self._remember(recovered(path))
                    logger.warning("Capture %s had no end and was recovered", name)
                said = json.loads(path.with_suffix(".json").read_bytes())
                found[name] = CaptureInfo(**said)
            except (CaptureError, OSError, ValueError, TypeError) as error:
                logger.warning("%s is left alone: %s", path, error)
        return found


def info_of(capture: RunningCapture) -> CaptureInfo:
    """What is known of a capture of this process."""
    session = capture.session
    return CaptureInfo(
        id=capture.capture_id,
        title=capture.title,
        session=capture.session_code,
        dataset=session.recording.dataset,
        sha256=session.open_recording.sha256,
        state=capture.state,
        reason=capture.reason if capture.state != RUNNING else "",
        started_at=capture.started_at.isoformat().replace("+00:00", "Z"),
        seconds=round(capture.seconds, 3),
        packets=capture.packets,
        lost_packets=capture.lost_packets,
        bytes=capture.n_bytes,
        first_packet_id=capture.first_packet_id,
        last_packet_id=capture.last_packet_id,
    )


def recovered(path: Path) -> CaptureInfo:
    """What is known of a capture by its journal alone.

    Raises:
        CaptureError: it is no journal.
    """
    journal = Journal(path)
    ids: list[int] = []
    packets = lost = 0
    first_ns = last_ns = journal.header.clock[1]
    for record in journal.records():
        if isinstance(record, Sent):
            packets += 1
            ids = [ids[0] if ids else record.packet.packet_id, record.packet.packet_id]
            last_ns = max(last_ns, record.deadline_ns)
        elif isinstance(record, Gap):
            lost += record.packets
    header = journal.header
    when = header.capture_id.partition("-")[0]
    reason = "its process died" if journal.end is None else journal.end.reason
    return CaptureInfo(
        id=header.capture_id,
        title=header.title,
        session=header.session,
        dataset=header.dataset,
        sha256=header.sha256,
        state=journal.state,
        reason=f"{reason}; {journal.damage}" if journal.damage else reason,
        started_at=f"{when[:4]}-{when[4:6]}-{when[6:11]}:{when[11:13]}:{when[13:]}",
        seconds=(last_ns - first_ns) / 1e9,
        packets=packets,
        lost_packets=lost,
        bytes=sum(p.stat().st_size for p in (path, *segment_paths(path)) if p.exists()),
        first_packet_id=ids[0] if ids else None,
        last_packet_id=ids[-1] if ids else None,
    )
