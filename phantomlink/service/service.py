"""The running service: opens the recording, keeps its sessions going, and ends them."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import trio

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.access.request_identity import UNKNOWN_ADDRESS
from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.parts import EngineResources, PartsCache, PlaybackParts
from phantomlink.engine.perturbed import apply_perturbation, warm_up
from phantomlink.engine.registry import Registry
from phantomlink.engine.session import Session
from phantomlink.errors import UnavailableError
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.outputs.websocket.admission import Admission, StreamRequest, admit
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.catalogue.datasets import Catalogue, find_datasets
from phantomlink.recordings.catalogue.entries import CATALOGUE_FILE
from phantomlink.recordings.identity import sha256_of
from phantomlink.recordings.index_progress import IndexProgress
from phantomlink.recordings.locate import locate_recording
from phantomlink.recordings.options import series_options
from phantomlink.recordings.recording import Recording, open_recording
from phantomlink.scheduling.clock import Clock, SystemClock
from phantomlink.scheduling.deferred import OnDemand
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.os_tuning import Tuning, tune_memory, tune_system
from phantomlink.scheduling.phases import APART_NS, SEVERAL_APART_NS, PhaseAllocator
from phantomlink.scheduling.running_time import keep_running_time
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.service.datasets import Datasets
from phantomlink.service.fetches import Fetches
from phantomlink.service.on_demand import has_captures, make_calibrator, make_captures
from phantomlink.service.output_kinds import output_kinds
from phantomlink.service.ownership import NodeIdentity, Ownership, SoleOwnership
from phantomlink.service.sessions import Sessions
from phantomlink.settings import Settings

if TYPE_CHECKING:
    from phantomlink.state.keeper import StateKeeper

logger = logging.getLogger(__name__)

_IDLE_COLLECTION_SECONDS = 1.0
_MOST_MIRRORED = 100
# Somebody who only reloads a page is back sooner.
_QUIET_SECONDS = 10.0


class Service:
    """Everything that a request can ask about. Made empty; `run` fills it.

    Args:
        settings: what the server was told.
        recording: path or dataset name; None for the one that the settings name.
        clock: time for the engine.
        more: paths or names of further datasets, wherever they lie.
        ownership: where several processes serve sessions, which makes which; None for one.

    Attributes:
        registry: of the sessions.
        mirrored: of those that other nodes own and this one plays too; only streams and views know
            of them.
    """

    def __init__(
        self,
        settings: Settings,
        recording: str | None = None,
        clock: Clock | None = None,
        *,
        more: Sequence[str] = (),
        ownership: Ownership | None = None,
    ) -> None:
        self.settings = settings
        self._is_one_of_several = ownership is not None
        self._ownership: Ownership = ownership or SoleOwnership()
        self.policy = AccessPolicy(settings)
        self._wanted = recording
        self._more = tuple(more)
        self.clock = clock or SystemClock(settings.spin_share)
        self._open_recording: OpenRecording | None = None
        self._parts: PlaybackParts | None = None
        self._not_ready: str | None = "the recording is being opened"
        self._scope = trio.CancelScope()
        self.collector = IdleGarbageCollector()
        self._phases = PhaseAllocator(SEVERAL_APART_NS if self._is_one_of_several else APART_NS)
        self._parts_cache = PartsCache(
            EngineResources(
                self.clock,
                self._phases,
                self.collector,
                settings.loop,
                has_records=self._is_one_of_several,
                fence=self._ownership.fence,
            )
        )
        self.tuning: tuple[Tuning, ...] = ()
        self._keeper: StateKeeper | None = None
        self.registry = Registry(
            self._session_parts,
            max_sessions=settings.max_sessions,
            ttl_seconds=settings.session_ttl_seconds,
            perturbation=_default_perturbation(settings),
            seed=settings.noise_seed,
        )
        self.mirrored = Registry(
            self._session_parts, max_sessions=_MOST_MIRRORED, ttl_seconds=math.inf
        )
        self.outputs = output_kinds(
            settings, self._ownership.slots("lsl", settings.lsl_max_sessions)
        )
        self.calibrator = OnDemand(
            partial(
                make_calibrator,
                settings,
                self.models_in_use,
                self._ownership.slots("fits", 1),
                self.clock,
            )
        )
        self.captures = OnDemand(
            partial(
                make_captures,
                settings,
                self._ownership.slots("captures", settings.max_captures),
                self._look_for_datasets,
                self.clock,
            )
        )
        self.sessions = Sessions(
            self.registry,
            self.outputs,
            self.rate_hz,
            self._parts_of,
            self._ownership,
            self.mirrored,
        )
        self.datasets = Datasets(
            self._find_datasets,
            settings.data_directory / CATALOGUE_FILE,
            self.registry,
            self._parts_cache,
            settings.recordings_memory_mb,
            self.rate_hz,
            self.clock.keep_cpu,
        )
        self.fetches = Fetches(settings, self.datasets)

    @property
    def open_recording(self) -> OpenRecording:
        """The recording that sessions play which name none.

        Raises:
            UnavailableError: it is not open.
        """
        if self._open_recording is None:
            raise UnavailableError(self._not_ready or "the server is going away")
        return self._open_recording

    @property
    def recording(self) -> Recording:
        """As `open_recording`, without its thread and its recovery.

        Raises:
            UnavailableError: it is not open.
        """
        return self.open_recording.recording

    @property
    def sha256(self) -> str | None:
        """Of the recording's file; None while it is not known."""
        return None if self._open_recording is None else self._open_recording.sha256

    @property
    def bins(self) -> Bins:
        """The recording at the server's rate.

        Raises:
            UnavailableError: it is not open.
        """
        return self._session_parts().bins

    @property
    def node(self) -> NodeIdentity:
        """Which of the processes that serve sessions together this one is."""
        return self._ownership.node

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of a session."""
        return self.settings.stream_frequency_hz

    @property
    def not_ready_reason(self) -> str | None:
        """Why no session can be served now; None when one can."""
        opened = self._open_recording
        return self._not_ready or (None if opened is None else opened.reason)

    async def enter(
        self, request: StreamRequest, address: str = UNKNOWN_ADDRESS
    ) -> tuple[Session, Admission]:
        """Let a client in to a stream; a session that does not exist yet is created.

        Args:
            request: what it asks for; the policy has let it pass.
            address: whose it is, see `address_key`.

        Raises:
            PhantomLinkError: why it may not come in, with the HTTP status to answer.
        """
        admission = admit(request)
        # Before a session is made for it.
        self.policy.connection_limits.check(address, admission.code)
        self._session_parts()
        return await self.sessions.of_listener(admission), admission

    def shut_down(self) -> None:
        """Say that the server goes away, and end every session."""
        self._not_ready = "the server is going away"
        if self._keeper is not None:
            self._keeper.freeze()
        self.registry.close()
        self.mirrored.close()

    def stop(self) -> None:
        """End `run`."""
        self.shut_down()
        self._scope.cancel()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open the recording, then run the sessions until cancelled or told to stop.

        Raises:
            RecordingError: it cannot be opened; nothing has been started then.
        """
        memory = tune_memory()
        thread = trio.CapacityLimiter(1)
        recording = await run_in_thread(self._open, limiter=thread)
        opened = OpenRecording.recovering(recording, thread)
        try:
            self._open_recording = opened
            self._parts = await self._parts_cache.at_rate(opened, self.rate_hz)
            # In the thread: no tick has the time for it.
            await run_in_thread(self._warm_up, limiter=thread)
            timing = tune_system(realtime=self.settings.realtime, cpus=self.settings.cpu_affinity)
            self.tuning = (*memory, *timing)
            for tuning in self.tuning:
                if tuning.state in {"not permitted", "not available"}:
                    # What nobody asked for is in the timing report, and is no news on macOS.
                    asked = self.settings.realtime or self.settings.cpu_affinity
                    level = logging.WARNING if asked else logging.DEBUG
                    logger.log(level, "%s: %s (%s)", tuning.name, tuning.state, tuning.detail)
            with self._scope, self.collector:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(keep_running_time)
                    for kind in self.outputs:
                        await nursery.start(kind.run, self.registry)
                    nursery.start_soon(opened.run)
                    nursery.start_soon(self._collect_when_idle)
                    await nursery.start(self.calibrator.run)
                    await nursery.start(self.registry.run)
                    await nursery.start(self.captures.run)
                    if self._is_one_of_several:
                        # The others do not wait until it is loaded.
                        await self.calibrator.get()
                    if self._is_one_of_several or await run_in_thread(has_captures, self.settings):
                        await self.captures.get()
                    await self.datasets.start(nursery, opened)
                    self.fetches.start(nursery)
                    await self._keep_sessions(nursery, recording)
                    self._not_ready = None
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._not_ready = "the server is going away"
            self.datasets.close()
            await opened.close()

    def _open(self) -> Recording:
        settings = self.settings
        path = locate_recording(settings, self._wanted)
        with IndexProgress() as progress:
            return open_recording(path, options=series_options(settings), progress=progress)

    def _warm_up(self) -> None:
        """What is done to the packets of sessions that ask for nothing; blocks."""
        applied = apply_perturbation(self.registry.perturbation, self.registry.seed, self.bins)
        if applied is not None:
            warm_up(applied, self.bins)

    @asynccontextmanager
    async def _parts_of(
        self, dataset: str | None, rate_hz: Fraction
    ) -> AsyncIterator[PlaybackParts]:
        """What plays a dataset at this rate; it stays open in here.

        Raises:
            PhantomLinkError: there is no such dataset, or it cannot be played now.
        """
        if dataset is None:
            yield await self._parts_cache.at_rate(self.open_recording, rate_hz)
            return
        async with self.datasets.using(dataset) as opened:
            yield await self._parts_cache.at_rate(opened, rate_hz)

    def _find_datasets(self) -> Catalogue:
        """Reads folders; called in a thread."""
        told = series_options(self.settings)
        more = [locate_recording(self.settings, wanted) for wanted in self._more]
        first = [(self.recording.path, told), *((path, None) for path in more)]
        folders = [self.settings.captures_directory]
        return find_datasets(self.settings.data_directory, first=first, more_folders=folders)

    async def _look_for_datasets(self) -> None:
        """A capture has become a dataset, or is none any more."""
        if self._open_recording is not None:
            await self.datasets.look_again()

    async def _keep_sessions(self, nursery: trio.Nursery, recording: Recording) -> None:
        """Let the sessions of the last run come back, and keep those that there are from now on."""
        if self.settings.state_dir is None:
            return
        from phantomlink.state.form import RecordingIdentity  # noqa: PLC0415
        from phantomlink.state.keeper import StateKeeper  # noqa: PLC0415
        from phantomlink.state.restore import bring_back  # noqa: PLC0415

        identity = RecordingIdentity.of(recording.dataset, recording.path)
        self._keeper = StateKeeper(
            self.settings.state_dir,
            identity,
            self.registry,
            lambda: self.sha256,
            partial(sha256_of, recording.path),
        )
        kept = await self._keeper.load()
        await bring_back(kept, self.sessions.make_again, at_most=self.registry.max_sessions)
        nursery.start_soon(self._keeper.run)

    def models_in_use(self) -> set[str]:
        """Models that are put on sessions."""
        outputs = (scores_of(session) for session in self.registry)
        return {
            player.model_id
            for scores in outputs
            if scores is not None
            for player in scores.players.values()
        }

    def _session_parts(self) -> PlaybackParts:
        if self._parts is None:
            raise UnavailableError(self._not_ready or "the server is going away")
        return self._parts

    async def _collect_when_idle(self) -> None:
        """Collect garbage also while no playback offers the time after its ticks."""
        quiet_seconds = 0.0
        while True:
            await trio.sleep(_IDLE_COLLECTION_SECONDS)
            self.collector.offer()
            quiet_seconds = (
                0.0 if self._phases.ticks_hz else quiet_seconds + _IDLE_COLLECTION_SECONDS
            )
            if quiet_seconds >= _QUIET_SECONDS:
                self.collector.collect_all()


def _default_perturbation(settings: Settings) -> Perturbation:
    if not settings.noise_injection_enabled:
        return NO_PERTURBATION
    from phantomlink.perturbation.presets import noise_and_drift  # noqa: PLC0415

    return noise_and_drift(
        settings.noise_std,
        settings.drift_amplitude,
        settings.drift_period_seconds,
        field="settings",
    )
