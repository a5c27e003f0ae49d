"""Playing a recording in a script, without a server: the packets of a stream, one by one.

    async with PlaybackEngine("recording.nwb", perturbation="moderate", seed=7) as engine:
        async for packet in engine:
            decode(packet.spike_counts)

It is the server's own engine (a session with one playhead) with a queue where the server has
connections, so a packet says what a client of the server would read. How fast it goes is one
choice, with what follows from it when packets are taken more slowly than they come:

- In real time (`speed` a number) packets leave on the grid of deadlines, whoever is waiting. The
  queue holds two seconds of them, at least 16; when it is full the oldest goes and is counted in
  `dropped`, as for a client that is too slow. Two seconds cover a garbage collection or a plot,
  and what a decoder gets stays live.
- As fast as it will go (`speed=None`) time is the script's: the clock jumps to the next deadline
  as soon as there is room in a short queue. Nothing is ever dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self

import trio

from phantomlink.close_codes import CLOSE_NORMAL
from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.pace import check_pace, exact_speed, rate_of_bin_size
from phantomlink.engine.parts import EngineResources, make_parts
from phantomlink.engine.perturbed import apply_perturbation
from phantomlink.engine.playback import Playback
from phantomlink.engine.session import REAL_TIME, Session
from phantomlink.engine.timing import TimingCounters
from phantomlink.errors import InvalidParameterError, RecordingError, leaves
from phantomlink.outputs.script import DemandClock, PacketQueue
from phantomlink.outputs.websocket.client_limits import QUEUE_PACKETS, queue_packets
from phantomlink.perturbation import NO_PERTURBATION, SEEDS, Perturbation
from phantomlink.perturbation.presets import load_perturbation, noise_and_drift, parse_perturbation
from phantomlink.recordings.bins import Bins
from phantomlink.recordings.index_progress import IndexProgress
from phantomlink.recordings.locate import locate_recording
from phantomlink.recordings.recording import Recording, open_recording
from phantomlink.recordings.trials import Filter
from phantomlink.scheduling.clock import Clock, SystemClock
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.phases import PhaseAllocator
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.settings import Settings
from phantomlink.wire.packet import Packet, StreamHeader, packet_data

__all__ = [
    "NoiseInjectionMiddleware",
    "Perturbation",
    "PlaybackEngine",
    "PlayedPacket",
    "load_perturbation",
]

_PACKET_FIELDS = Packet.__struct_fields__


class PlayedPacket(Packet, frozen=True, eq=False, kw_only=True):
    """A packet as a script has it: the record of the stream, and when it left.

    Attributes:
        timestamp: when it left the scheduler, Unix s.
        header: what is the same for every packet.
    """

    timestamp: float
    header: StreamHeader

    def data(self) -> dict[str, Any]:
        """The `data` of the message that a client of the server would receive."""
        return packet_data(self, self.header, self.timestamp)


@dataclass(frozen=True, slots=True)
class NoiseInjectionMiddleware:
    """The transforms `gaussian_noise` and `drift`, with a number or two for each.

    Attributes:
        noise_std: standard deviation of the noise where no spike is, spikes per bin; it grows
            with (count + 1).
        drift_amplitude: of the mean unit's gain, relative to 1.
        drift_period_seconds: of its slow wave, s of stream time.
        enable_noise: False leaves the noise out.
        enable_drift: False leaves the drift out.
        seed: 0 to 2**63 - 1; the same seed gives the same counts.

    Raises:
        InvalidParameterError: a value is out of its range.
    """

    noise_std: float = 0.5
    drift_amplitude: float = 0.3
    drift_period_seconds: float = 60.0
    enable_noise: bool = True
    enable_drift: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        # Also what is switched off: a wrong number must not wait for its switch.
        _ = self._of(noise=True, drift=True)

    @property
    def perturbation(self) -> Perturbation:
        """What it does to packets."""
        return self._of(noise=self.enable_noise, drift=self.enable_drift)

    def _of(self, *, noise: bool, drift: bool) -> Perturbation:
        return noise_and_drift(
            self.noise_std,
            self.drift_amplitude,
            self.drift_period_seconds,
            noise=noise,
            drift=drift,
        )


class PlaybackEngine:
    """Plays a recording: an async context manager, and in it an async iterator of its packets.

    Entering it opens the recording (in a thread) and starts to play; leaving it, at the end of
    the recording or before, ends every task and closes the file. Entered again, it plays from
    the beginning, and the same.

    Args:
        path: an NWB file; None for the recording that `phantomlink serve` plays when none is
            named: `data/mc_maze.nwb`, or else the synthetic one.
        noise_middleware: noise and drift to apply, with its seed.
        perturbation: in its place, the name of a preset, a perturbation, or one as JSON has it.
        seed: of what is drawn for the perturbation; None for the middleware's, or 0.
        bin_size_ms: width of the bins, 1 to 1000 ms.
        speed: how many times faster than recorded, 0.1 to 100; None for as fast as packets are
            taken.
        loop: whether to start again after the last bin, for ever.
        trial_id: only the bins of this trial.
        target_id: only the bins of trials with this target.
        reach_id: only the bins of trials that reached for this place.
        clock: for tests: time, unless `speed` is None.

    Raises:
        InvalidParameterError: an argument is out of its range.
    """

    def __init__(
        self,
        path: str | PathLike[str] | None = None,
        *,
        noise_middleware: NoiseInjectionMiddleware | None = None,
        perturbation: Perturbation | str | Mapping[str, Any] | None = None,
        seed: int | None = None,
        bin_size_ms: float = 25.0,
        speed: float | None = 1.0,
        loop: bool = False,
        trial_id: int | None = None,
        target_id: int | None = None,
        reach_id: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        if noise_middleware is not None and perturbation is not None:
            raise InvalidParameterError(
                "perturbation: got one beside a noise_middleware, takes one of the two"
            )
        if noise_middleware is not None:
            perturbation = noise_middleware.perturbation
            seed = noise_middleware.seed if seed is None else seed
        self.perturbation = _perturbation(perturbation)
        self.seed = SEEDS.parse(0 if seed is None else seed, "seed")
        self._path = path
        self._rate_hz = rate_of_bin_size(float(bin_size_ms))
        self._speed = None if speed is None else exact_speed(float(speed))
        check_pace(self._rate_hz, self._speed or REAL_TIME)
        self._loop = loop
        self._filter = Filter(trial_id=trial_id, target_id=target_id, reach_id=reach_id)
        self._clock = clock
        self._playing: _Playing | None = None
        self._leave: AsyncExitStack | None = None

    @property
    def recording(self) -> Recording:
        """The recording; closed after the context.

        Raises:
            RuntimeError: the engine has not been entered; also from the other properties.
        """
        return self._entered.recording

    @property
    def bins(self) -> Bins:
        """Its bins: `grid`, `unit_ids`, `trials`."""
        return self._entered.session.bins

    @property
    def timing(self) -> TimingCounters:
        """How late packets left, stalls, overruns; with `speed=None` none is late."""
        return self._entered.playback.timing

    @property
    def dropped(self) -> int:
        """Packets that were not taken in time; always 0 with `speed=None`."""
        return self._entered.queue.dropped

    async def __aenter__(self) -> Self:
        """Open the recording and start to play.

        Raises:
            RecordingError: there is no such file, or it cannot be played.
            InvalidParameterError: the perturbation does not fit the recording.
            NoMatchingBinsError: the filter matches nothing.
        """
        if self._leave is not None:
            raise RuntimeError("this PlaybackEngine is playing already")
        async with AsyncExitStack() as stack:
            self._playing = playing = await self._open(stack)
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(_run, playing)
            self._leave = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every task and close the file."""
        assert self._leave is not None
        leave, self._leave = self._leave, None
        self._entered.queue.clear()
        self._entered.session.close(CLOSE_NORMAL, "the script has left")
        # Without the exception of the block: it is the script's, and not to be put in a group.
        await leave.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PlayedPacket:
        """The next packet, when it is there. Cancelled: none has been taken.

        Raises:
            RecordingError: the file cannot be read any more.
            RuntimeError: the engine has not been entered.
        """
        playing = self._entered
        release = await playing.queue.take()
        if release is None:
            raise StopAsyncIteration
        assert release.timestamp is not None
        return PlayedPacket(
            **{name: getattr(release.packet, name) for name in _PACKET_FIELDS},
            timestamp=release.timestamp,
            header=playing.session.parts.encoders.header,
        )

    @property
    def _entered(self) -> _Playing:
        if self._playing is None:
            raise RuntimeError("a PlaybackEngine plays inside `async with`: enter it first")
        return self._playing

    async def _open(self, stack: AsyncExitStack) -> _Playing:
        thread = trio.CapacityLimiter(1)
        recording = await run_in_thread(self._open_recording, limiter=thread)
        stack.callback(recording.close)
        opened = OpenRecording(recording, thread)
        bins = await opened.bins_at(self._rate_hz)
        # In the thread too: a script of many steps takes 50 ms to make ready.
        applied = await run_in_thread(
            apply_perturbation, self.perturbation, self.seed, bins, limiter=thread
        )
        collector = IdleGarbageCollector(freezes=False)
        if self._speed is None:
            queue = PacketQueue(QUEUE_PACKETS)
            clock: Clock = DemandClock(queue)
        else:
            queue = PacketQueue(queue_packets(self._rate_hz * self._speed))
            clock = self._clock or SystemClock()
            stack.enter_context(collector)
        resources = EngineResources(clock, PhaseAllocator(), collector, loop=self._loop)
        parts = make_parts(opened, bins, resources)
        session = Session(
            "script",
            parts,
            self._speed or REAL_TIME,
            seed=self.seed,
            applied=applied,
        )
        playback = session.subscribe(self._filter, session.playback(self._filter), queue)
        return _Playing(recording, session, playback, queue)

    def _open_recording(self) -> Recording:
        wanted = None if self._path is None else fspath(self._path)
        with IndexProgress() as progress:
            return open_recording(locate_recording(Settings(), wanted), progress=progress)


@dataclass(frozen=True, slots=True)
class _Playing:
    """What an entered engine consists of."""

    recording: Recording
    session: Session
    playback: Playback
    queue: PacketQueue


def _perturbation(wanted: Perturbation | str | Mapping[str, Any] | None) -> Perturbation:
    if wanted is None:
        return NO_PERTURBATION
    return wanted if isinstance(wanted, Perturbation) else parse_perturbation(wanted)


async def _run(playing: _Playing) -> None:
    """Run the session; what is wrong with the recording is for whoever takes packets."""
    try:
        await playing.session.run()
    except* RecordingError as group:
        playing.queue.fail(next(leaves(group)))
