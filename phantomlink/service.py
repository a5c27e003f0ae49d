"""The running service: the recording that is played and the sessions that play it."""

from __future__ import annotations

import hashlib
import logging
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path

import trio

from phantomlink.engine.assemble import PacketAssembler
from phantomlink.engine.clock import Clock, SystemClock
from phantomlink.engine.collector import SlackCollector
from phantomlink.engine.fanout import Encoders
from phantomlink.engine.phases import PhaseBook
from phantomlink.engine.playback import PlaybackParts
from phantomlink.engine.prefetch import BlockReader
from phantomlink.engine.registry import Registry
from phantomlink.engine.session import NO_FILTER, Session
from phantomlink.errors import UnavailableError
from phantomlink.settings import Settings
from phantomlink.sinks.admission import Admission, StreamRequest, admit
from phantomlink.source.bins import Bins
from phantomlink.source.index_progress import IndexProgress
from phantomlink.source.locate import locate_recording
from phantomlink.source.options import SeriesOptions
from phantomlink.source.recording import Recording, open_recording
from phantomlink.wire.packet import StreamHeader

logger = logging.getLogger(__name__)

# With the default of 5 ms a worker thread can hold the interpreter for a fifth of a tick.
_SWITCH_INTERVAL_SECONDS = 5e-4
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
        self._clock = clock or SystemClock()
        self._recording: Recording | None = None
        self._bins: Bins | None = None
        self._parts: PlaybackParts | None = None
        self._not_ready: str | None = "the recording is being opened"
        self._scope = trio.CancelScope()
        self.collector = SlackCollector()
        self.sha256: str | None = None
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
        if self._bins is None:
            raise UnavailableError(self._not_ready or "the server is going away")
        return self._bins

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of a session."""
        return self.settings.stream_frequency_hz

    @property
    def not_ready_reason(self) -> str | None:
        """Why no session can be served now; None when one can."""
        return self._not_ready

    @property
    def n_connections(self) -> int:
        """Listeners of all sessions."""
        return sum(session.n_listening for session in self.registry)

    def enter(self, request: StreamRequest) -> tuple[Session, Admission]:
        """Let a client in to a stream; a session that does not exist yet is created.

        Raises:
            PhantomLinkError: why it may not come in, with the HTTP status to answer.
        """
        admission = admit(request)
        bins = self.bins
        if admission.filter != NO_FILTER:
            # Before a session is made: a filter that matches nothing must not leave one behind.
            bins.trials.ranges(admission.filter, bins.grid)
        session, _ = self.registry.create(admission.code)
        return session, admission

    def shut_down(self) -> None:
        """Say that the server goes away, and end every session."""
        self._not_ready = "the server is going away"
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
        thread = trio.CapacityLimiter(1)
        recording = await trio.to_thread.run_sync(self._open, limiter=thread)
        try:
            bins = await trio.to_thread.run_sync(recording.at_rate, self.rate_hz, limiter=thread)
            self._recording, self._bins = recording, bins
            self._parts = PlaybackParts(
                reader=BlockReader(bins, thread),
                assembler=PacketAssembler(bins),
                encoders=Encoders(StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)),
                loop=self.settings.loop,
                clock=self._clock,
                phases=PhaseBook(),
                collector=self.collector,
            )
            sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
            with self._scope, self.collector:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hash_file, recording.path)
                    await nursery.start(self.registry.run)
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

    def _session_parts(self) -> PlaybackParts:
        if self._parts is None:
            raise UnavailableError(self._not_ready or "the server is going away")
        return self._parts

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
