"""The running service: the recording that is played and the sessions that play it."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import trio

from phantomlink.access.door import Door
from phantomlink.access.visitor import UNKNOWN_ADDRESS
from phantomlink.engine.clock import Clock, SystemClock
from phantomlink.engine.codes import is_private, make_private_code
from phantomlink.engine.collector import SlackCollector
from phantomlink.engine.digest import payload_digest, runs_within
from phantomlink.engine.os_tuning import Tuning, tune_system
from phantomlink.engine.pace import check_pace, exact_speed, rate_of_bin_size
from phantomlink.engine.parts import parts_of
from phantomlink.engine.perturbed import AppliedPerturbation, apply_perturbation, warm_up
from phantomlink.engine.phases import PhaseBook
from phantomlink.engine.playback import PlaybackParts
from phantomlink.engine.registry import Registry
from phantomlink.engine.selection import Selection
from phantomlink.engine.session import NO_FILTER, REAL_TIME, Session
from phantomlink.engine.supply import Supply
from phantomlink.errors import (
    BinRangeError,
    InvalidParameterError,
    RecordingError,
    SessionDiffersError,
    UnavailableError,
)
from phantomlink.settings import Settings
from phantomlink.sinks.admission import Admission, StreamRequest, admit
from phantomlink.sinks.lsl.companion import lsl_companion
from phantomlink.sinks.lsl.manager import LslManager
from phantomlink.sinks.lsl.streams import Described
from phantomlink.source.bins import Bins
from phantomlink.source.identity import FileIdentity, sha256_of
from phantomlink.source.index_progress import IndexProgress
from phantomlink.source.locate import locate_recording
from phantomlink.source.options import SeriesOptions
from phantomlink.source.perturb import (
    NO_PERTURBATION,
    Perturbation,
    noise_and_drift,
    parse_perturbation,
)
from phantomlink.source.perturb.perturber import SEEDS
from phantomlink.source.recording import Recording, open_recording
from phantomlink.source.trials import Filter
from phantomlink.state.file import RecordingIdentity, SessionState
from phantomlink.state.keeper import StateKeeper
from phantomlink.state.restore import bring_back

logger = logging.getLogger(__name__)

_IDLE_COLLECTION_SECONDS = 1.0
# Making outlets takes some 5 ms; a creation is not held up by an LSL that hangs.
_OUTLETS_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_MAX_LOOP = 2**32 - 1


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
        self.door = Door(settings)
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
        # None when nothing is read from the recording any more.
        self._supply: Supply | None = None
        self._keeper: StateKeeper | None = None
        self.registry = Registry(
            self._session_parts,
            max_sessions=settings.max_connections,
            ttl_seconds=settings.session_ttl_seconds,
            perturbation=_default_perturbation(settings),
            seed=settings.noise_seed,
        )
        self.lsl = LslManager(settings, self._describe)
        self._threads = trio.CapacityLimiter(1)

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
        return self._not_ready or (self._supply.reason if self._supply else None)

    def enter(
        self, request: StreamRequest, address: str = UNKNOWN_ADDRESS
    ) -> tuple[Session, Admission]:
        """Let a client in to a stream; a session that does not exist yet is created.

        Args:
            request: what it asks for; the door has let it pass.
            address: whose it is, see `address_key`.

        Raises:
            PhantomLinkError: why it may not come in, with the HTTP status to answer.
        """
        admission = admit(request, self.door.origins)
        # Before a session is made for it.
        self.door.crowd.check(address, admission.code)
        if self._supply is not None and self._supply.lost is not None:
            raise UnavailableError(f"the recording cannot be read: {self._supply.lost}")
        existing = self.registry.find(admission.code)
        bins = self.bins if existing is None else existing.parts.reader.bins
        if admission.filter != NO_FILTER:
            # Before a session is made: a filter that matches nothing must not leave one behind.
            bins.trials.ranges(admission.filter, bins.grid)
        companion = self.lsl.companion(is_wanted=not is_private(admission.code))
        companions = (companion,) if existing is None else ()
        session, _ = self.registry.create(admission.code, companions=companions)
        return session, admission

    async def create_session(
        self,
        code: str | None = None,
        *,
        bin_size_ms: float | None = None,
        speed: float | None = None,
        lsl: bool | None = None,
        perturbation: object = None,
        seed: int | None = None,
        private: bool | None = None,
    ) -> tuple[Session, bool]:
        """The session of this code, or of a made-up one; and whether it is new.

        Args:
            code: its name; None for one that we make up.
            bin_size_ms: width of its bins; None for the server's.
            speed: how many times faster than recorded; None for 1.
            lsl: whether it is LSL outlets too; None for yes, if the server has any. They exist
                when this returns.
            perturbation: a preset's name or JSON of what is to be done to its packets; None for
                the server's.
            seed: of the perturbation; None for the server's.
            private: make up a code that is a secret, for a session that is not listed; it has no
                outlets, whose names would tell the code.

        Raises:
            InvalidParameterError: something has the wrong form or is out of range.
            SessionDiffersError: the session exists and is not as it was asked for.
            TooManySessionsError: there is no room.
        """
        if private:
            if code is not None:
                raise InvalidParameterError(
                    "custom_code: got it with private, takes one of them: a private code is made up"
                )
            code = make_private_code()
        has_secret = code is not None and is_private(code)
        if has_secret and lsl:
            raise InvalidParameterError(
                "lsl: got true for a private session, takes false: outlets tell their code"
            )
        rate_hz = self.rate_hz if bin_size_ms is None else rate_of_bin_size(bin_size_ms)
        factor = REAL_TIME if speed is None else exact_speed(speed)
        check_pace(rate_hz, factor)
        _check_seed(seed)
        parts = await self._parts_for(rate_hz)
        wanted, applied = None, None
        if perturbation is not None:
            wanted_seed = self.registry.seed if seed is None else seed
            wanted, applied = await self._prepare(perturbation, wanted_seed, parts)
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
            companion = lsl_companion(existing)
            if lsl is not None and companion is not None and companion.is_wanted != lsl:
                was = "with" if companion.is_wanted else "without"
                raise SessionDiffersError(
                    f"lsl: got {str(lsl).lower()}, but session {code!r} was made {was} LSL "
                    "outlets; delete it first, or take another code"
                )
            _check_same_perturbation(existing, wanted, seed)
        companion = self.lsl.companion(is_wanted=lsl is not False and not has_secret)
        session, created = self.registry.create(
            code,
            parts=parts,
            speed=factor,
            perturbation=wanted,
            seed=seed,
            applied=applied,
            companions=(companion,),
        )
        if created:
            with trio.move_on_after(_OUTLETS_SECONDS):
                await companion.settled.wait()
        return session, created

    async def set_perturbation(
        self, session: Session, perturbation: object, seed: int | None
    ) -> int:
        """Perturb a session's packets from its next one on.

        Args:
            session: whose.
            perturbation: a preset's name, or JSON.
            seed: of it; None for the one that the session has.

        Returns:
            The first `packet_id` that the unfiltered playhead sends so.

        Raises:
            InvalidParameterError: something has the wrong form or is out of range.
        """
        _check_seed(seed)
        seed = session.seed if seed is None else seed
        _, applied = await self._prepare(perturbation, seed, session.parts)
        return session.apply(applied, seed)

    async def _prepare(
        self, perturbation: object, seed: int, parts: PlaybackParts
    ) -> tuple[Perturbation, AppliedPerturbation | None]:
        """What was asked for, read and made ready: in a thread, a long one takes 50 ms."""

        def prepare() -> tuple[Perturbation, AppliedPerturbation | None]:
            wanted = parse_perturbation(perturbation)
            return wanted, apply_perturbation(wanted, seed, parts.reader.bins)

        return await trio.to_thread.run_sync(prepare, limiter=self._threads)

    async def digest(
        self, session: Session, wanted: Filter, *, start: int, stop: int, loop: int
    ) -> tuple[str, int]:
        """SHA-256 of what a session's packets say, sent or not, and how many these are.

        Args:
            session: whose perturbation, seed and bins it is.
            wanted: only packets of these trials.
            start: first bin.
            stop: the bin after the last one.
            loop: in which they are sent.

        Raises:
            InvalidParameterError: there are no such packets, or too many.
            NoMatchingBinsError: the filter matches nothing.
            RecordingError: the recording cannot be read.
        """
        bins = session.parts.reader.bins
        n_bins = bins.grid.n_bins
        if not 0 <= start < n_bins:
            raise BinRangeError(f"start: got {start}, takes 0 to {n_bins - 1}")
        if not start < stop <= n_bins:
            raise BinRangeError(f"stop: got {stop}, takes {start + 1} to {n_bins}")
        if not 0 <= loop <= _MAX_LOOP:
            raise InvalidParameterError(f"loop: got {loop}, takes 0 to {_MAX_LOOP}")
        runs = runs_within(Selection(bins.trials.ranges(wanted, bins.grid)), start, stop)
        sha256 = await payload_digest(session.parts, session.applied, runs, loop, self._threads)
        return sha256, sum(last - first for first, last in runs)

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
            if not recording.in_memory:
                self._supply = Supply(recording, self._thread, lambda: self.sha256)
            self._parts = await self._parts_for(self.rate_hz)
            # In the thread: no tick has the time for it.
            await trio.to_thread.run_sync(
                warm_up, self.bins, self.registry.perturbation, limiter=self._thread
            )
            self.tuning = tune_system(
                realtime=self.settings.realtime, cpus=self.settings.cpu_affinity
            )
            for tuning in self.tuning:
                if tuning.state in {"not permitted", "not available"}:
                    logger.warning("%s: %s (%s)", tuning.name, tuning.state, tuning.detail)
            await self.lsl.start()
            with self._scope, self.collector:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hash_file, recording.path, recording.identity)
                    nursery.start_soon(self._collect_when_idle)
                    if self._supply is not None:
                        nursery.start_soon(self._supply.run)
                    await nursery.start(self.registry.run)
                    await self._keep_sessions(nursery, recording)
                    self._not_ready = None
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._not_ready = "the server is going away"
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                # Not here: a read that hangs has HDF5's lock. What is not closed ends with us.
                await trio.to_thread.run_sync(
                    recording.close, limiter=self._thread, abandon_on_cancel=True
                )

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
            parts = parts_of(
                bins,
                self._thread,
                supply=self._supply,
                loop=self.settings.loop,
                clock=self.clock,
                phases=self._phases,
                collector=self.collector,
            )
            # Somebody else may have asked for the same in the meantime.
            parts = self._parts_at.setdefault(rate_hz, parts)
        return parts

    def _describe(self, session: Session) -> Described:
        return Described(
            recording=self.recording,
            sha256=self.sha256,
            settings=self.settings,
            code=session.code,
            bin_size_ms=session.parts.reader.bins.grid.bin_size_ms,
            speed=session.speed,
            rate_hz=session.rate_hz,
            lateness=[other.main.timing.lateness for other in self.registry],
        )

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
        _, applied = await self._prepare(state.perturbation.as_json(), state.seed, parts)
        session, _ = self.registry.create(
            state.code,
            parts=parts,
            speed=state.speed,
            perturbation=state.perturbation,
            seed=state.seed,
            applied=applied,
            companions=(self.lsl.companion(is_wanted=state.has_lsl),),
        )
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

    async def _hash_file(self, path: Path, identity: FileIdentity) -> None:
        """Learn the file's SHA-256, without haste: a large file takes seconds."""
        try:
            self.sha256 = await trio.to_thread.run_sync(
                partial(_sha256, path, identity), abandon_on_cancel=True
            )
        except (OSError, RecordingError) as error:
            logger.warning("The SHA-256 of the recording is not known: %s", error)


def _default_perturbation(settings: Settings) -> Perturbation:
    if not settings.noise_injection_enabled:
        return NO_PERTURBATION
    return noise_and_drift(
        settings.noise_std,
        settings.drift_amplitude,
        settings.drift_period_seconds,
        field="settings",
    )


def _check_seed(seed: int | None) -> None:
    if seed is not None and not SEEDS.low <= seed <= SEEDS.high:
        raise InvalidParameterError(f"seed: got {seed}, takes {SEEDS.low} to {SEEDS.high}")


def _check_same_perturbation(
    session: Session, wanted: Perturbation | None, seed: int | None
) -> None:
    change = f"change it at /api/sessions/{session.code}/perturbation"
    if wanted is not None:
        has = NO_PERTURBATION if session.applied is None else session.applied.perturbation
        same = has.steps == wanted.steps or (has.is_identity and wanted.is_identity)
        if not same:
            raise SessionDiffersError(
                f"perturbation: got {_named(wanted)}, but session {session.code!r} has "
                f"{_named(has)}; {change}"
            )
    if seed is not None and seed != session.seed:
        raise SessionDiffersError(
            f"seed: got {seed}, but session {session.code!r} has {session.seed}; {change}"
        )


def _named(perturbation: Perturbation) -> str:
    if perturbation.is_identity:
        return "none"
    return "one without a name" if perturbation.name is None else repr(perturbation.name)


def _sha256(path: Path, identity: FileIdentity) -> str:
    sha256 = sha256_of(path)
    if FileIdentity.of(path) != identity:
        raise RecordingError(f"{path} is not any more what was opened")
    return sha256
