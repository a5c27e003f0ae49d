"""The running service: the recording that is played and the sessions that play it."""

from __future__ import annotations

import hashlib
import logging
from fractions import Fraction
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from phantomlink.engine.assemble import PacketAssembler
from phantomlink.engine.clock import Clock, SystemClock
from phantomlink.engine.collector import SlackCollector
from phantomlink.engine.fanout import Encoders
from phantomlink.engine.os_tuning import Tuning, tune_system
from phantomlink.engine.pace import check_pace, exact_speed, rate_of_bin_size
from phantomlink.engine.phases import PhaseBook
from phantomlink.engine.playback import PlaybackParts
from phantomlink.engine.prefetch import BlockReader
from phantomlink.engine.registry import Registry
from phantomlink.engine.session import NO_FILTER, REAL_TIME, Session
from phantomlink.errors import SessionDiffersError, UnavailableError
from phantomlink.settings import Settings
from phantomlink.sinks.admission import Admission, StreamRequest, admit
from phantomlink.source.bins import Bins
from phantomlink.source.index_progress import IndexProgress
from phantomlink.source.locate import locate_recording
from phantomlink.source.options import SeriesOptions
from phantomlink.source.recording import Recording, open_recording
from phantomlink.state.file import RecordingIdentity, SessionState
from phantomlink.state.keeper import StateKeeper
from phantomlink.state.restore import bring_back
from phantomlink.wire.packet import StreamHeader

logger = logging.getLogger(__name__)

_IDLE_COLLECTION_SECONDS = 1.0
_HASH_CHUNK_BYTES = 1 << 20


class Service:
    """Everything that a request can ask about. Made empty; `run` fills it.

    Args:
        settings: what the server was told.
        recording: path or dataset name; None for the one that the settings name.
        clock: time for the engine.
    """

    def __init__(
        self, settings: Settings, recording: str | None = None, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self._wanted = recording
        self.clock = clock or SystemClock(settings.spin_share)
        self._recording: Recording | None = None
        self._parts: PlaybackParts | None = None
        # By rate, for as long as a session plays them.
        self._parts_at: WeakValueDictionary[Fraction, PlaybackParts] = WeakValueDictionary()
        self._thread = trio.CapacityLimiter(1)
        self._phases = PhaseBook()
        self._not_ready: str | None = "the recording is being opened"
        self._scope = trio.CancelScope()
        self.collector = SlackCollector()
        self.tuning: tuple[Tuning, ...] = ()
        self.sha256: str | None = None
        self._keeper: StateKeeper | None = None
        self.registry = Registry(
            self._session_parts,
            max_sessions=settings.max_connections,
            ttl_seconds=settings.session_ttl_seconds,
        )

    @property
    def recording(self) -> Recording:
        """The recording that is played.

        Raises:
            UnavailableError: it is not open.
        """
        if self._recording is None:
            raise UnavailableError(self._not_ready or "the server is going away")
        return self._recording

    @property
    def bins(self) -> Bins:
        """The recording at the server's rate.

        Raises:
            UnavailableError: it is not open.
        """
        return self._session_parts().reader.bins

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of a session."""
        return self.settings.stream_frequency_hz

    @property
    def not_ready_reason(self) -> str | None:
        """Why no session can be served now; None when one can."""
        return self._not_ready

    def enter(self, request: StreamRequest) -> tuple[Session, Admission]:
        """Let a client in to a stream; a session that does not exist yet is created.

        Raises:
            PhantomLinkError: why it may not come in, with the HTTP status to answer.
        """
        admission = admit(request)
        existing = self.registry.find(admission.code)
        bins = self.bins if existing is None else existing.parts.reader.bins
        if admission.filter != NO_FILTER:
            # Before a session is made: a filter that matches nothing must not leave one behind.
            bins.trials.ranges(admission.filter, bins.grid)
        session, _ = self.registry.create(admission.code)
        return session, admission

    async def create_session(
        self,
        code: str | None = None,
        *,
        bin_size_ms: float | None = None,
        speed: float | None = None,
    ) -> tuple[Session, bool]:
        """The session of this code, or of a made-up one; and whether it is new.

        Args:
            code: its name; None for one that we make up.
            bin_size_ms: width of its bins; None for the server's.
            speed: how many times faster than recorded; None for 1.

        Raises:
            InvalidParameterError: something has the wrong form or is out of range.
            SessionDiffersError: the session exists and has other bins or another speed.
            TooManySessionsError: there is no room.
        """
        rate_hz = self.rate_hz if bin_size_ms is None else rate_of_bin_size(bin_size_ms)
        factor = REAL_TIME if speed is None else exact_speed(speed)
        check_pace(rate_hz, factor)
        parts = await self._parts_for(rate_hz)
        existing = None if code is None else self.registry.find(code)
        if existing is not None:
            grid = existing.parts.reader.bins.grid
            if bin_size_ms is not None and grid.rate_hz != rate_hz:
                raise SessionDiffersError(
                    f"bin_size_ms: got {bin_size_ms:g}, but session {code!r} has bins of "
                    f"{grid.bin_size_ms:g} ms; delete it first, or take another code"
                )
            if speed is not None and existing.speed != factor:
                raise SessionDiffersError(
                    f"speed: got {speed:g}, but session {code!r} plays at "
                    f"{float(existing.speed):g}; change it at /api/control/{code}/speed"
                )
        return self.registry.create(code, parts=parts, speed=factor)

    def set_speed(self, session: Session, speed: float) -> None:
        """Let a session play so many times faster than recorded, from its next packet on.

        Raises:
            InvalidParameterError: it is out of range for the session's bins.
        """
        factor = exact_speed(speed)
        check_pace(session.parts.reader.bins.grid.rate_hz, factor)
        session.set_speed(factor)

    def shut_down(self) -> None:
        """Say that the server goes away, and end every session."""
        self._not_ready = "the server is going away"
        if self._keeper is not None:
            self._keeper.freeze()
        self.registry.close()

    def stop(self) -> None:
        """End `run`."""
        self.shut_down()
        self._scope.cancel()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the recording, then run the sessions until cancelled or told to stop.

        Raises:
            RecordingError: it cannot be opened; nothing has been started then.
        """
        recording = await trio.to_thread.run_sync(self._open, limiter=self._thread)
        try:
            self._recording = recording
            self._parts = await self._parts_for(self.rate_hz)
            self.tuning = tune_system(
                realtime=self.settings.realtime, cpus=self.settings.cpu_affinity
            )
            for tuning in self.tuning:
                if tuning.state in {"not permitted", "not available"}:
                    logger.warning("%s: %s (%s)", tuning.name, tuning.state, tuning.detail)
            with self._scope, self.collector:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hash_file, recording.path)
                    nursery.start_soon(self._collect_when_idle)
                    await nursery.start(self.registry.run)
                    await self._keep_sessions(nursery, recording)
                    self._not_ready = None
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._not_ready = "the server is going away"
            recording.close()

    def _open(self) -> Recording:
        settings = self.settings
        options = SeriesOptions(
            position_series=settings.position_series,
            velocity_series=settings.velocity_series,
            target_column=settings.target_column,
            target_position_column=settings.target_position_column,
        )
        path = locate_recording(settings, self._wanted)
        with IndexProgress() as progress:
            return open_recording(path, options=options, progress=progress)

    async def _parts_for(self, rate_hz: Fraction) -> PlaybackParts:
        """What plays the recording at this rate, from which others may be playing already.

        Raises:
            RecordingError: the file cannot be read.
        """
        parts = self._parts_at.get(rate_hz)
        if parts is None:
            bins = await trio.to_thread.run_sync(
                self.recording.at_rate, rate_hz, limiter=self._thread
            )
            parts = PlaybackParts(
                reader=BlockReader(bins, self._thread),
                assembler=PacketAssembler(bins),
                encoders=Encoders(StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)),
                loop=self.settings.loop,
                clock=self.clock,
                phases=self._phases,
                collector=self.collector,
            )
            # Somebody else may have asked for the same in the meantime.
            parts = self._parts_at.setdefault(rate_hz, parts)
        return parts

    async def _keep_sessions(self, nursery: trio.Nursery, recording: Recording) -> None:
        """Let the sessions of the last run come back, and keep those that there are from now on."""
        if self.settings.state_dir is None:
            return
        identity = RecordingIdentity.of(recording.dataset, recording.path)
        self._keeper = StateKeeper(self.settings.state_dir, identity, self.registry)
        kept = await self._keeper.load()
        await bring_back(kept, self._remake, at_most=self.registry.max_sessions)
        nursery.start_soon(self._keeper.run)

    async def _remake(self, state: SessionState) -> Session:
        check_pace(state.rate_hz, state.speed)
        parts = await self._parts_for(state.rate_hz)
        session, _ = self.registry.create(state.code, parts=parts, speed=state.speed)
        return session

    def _session_parts(self) -> PlaybackParts:
        if self._parts is None:
            raise UnavailableError(self._not_ready or "the server is going away")
        return self._parts

    async def _collect_when_idle(self) -> None:
        """Collect garbage also while no playback offers the time after its ticks."""
        while True:
            await trio.sleep(_IDLE_COLLECTION_SECONDS)
            self.collector.offer()

    async def _hash_file(self, path: Path) -> None:
        """Learn the file's SHA-256, without haste: a large file takes seconds."""
        try:
            self.sha256 = await trio.to_thread.run_sync(
                partial(_sha256, path), abandon_on_cancel=True
            )
        except OSError as error:
            logger.warning("The SHA-256 of the recording is not known: %s", error)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
