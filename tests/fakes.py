"""Fakes that the tests of several parts share: data that name themselves, a clock that waits."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import trio
import trio.testing

from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.parts import EngineResources
from phantomlink.engine.parts import make_parts as make_engine_parts
from phantomlink.engine.recording_recovery import RecordingRecovery
from phantomlink.errors import BinRangeError, RecordingError
from phantomlink.recordings.bins import Block
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.trials import Trial, TrialTable
from phantomlink.scheduling.clock import WaitingTicks
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.phases import PhaseAllocator


class TrioClock(WaitingTicks):
    """Trio's own time, whichever that is."""

    source = "trio"

    def now_ns(self) -> int:
        return round(trio.current_time() * 1_000_000_000)

    def wall_seconds(self) -> float:
        return 1_700_000_000.0 + trio.current_time()

    def yield_cpu(self, *, others_wait=True):
        pass

    async def wait_until(self, due_ns):
        await trio.sleep(max(due_ns - self.now_ns(), 0) / 1_000_000_000)
        return self.now_ns()


class VirtualClock(TrioClock):
    """Trio's own time, which pytest-trio's autojump clock has to turn into virtual time."""

    source = "virtual"

    def now_ns(self) -> int:
        # pytest-trio takes the clock from a test's own arguments, not from those of its fixtures.
        assert isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock), (
            "the test itself has to ask for autojump_clock"
        )
        return super().now_ns()


class StallingClock(VirtualClock):
    """Virtual time that is held up once for a while."""

    def __init__(self, at_tick, seconds):
        self.at_tick, self.seconds, self.ticks = at_tick, seconds, 0

    async def wait_until(self, due_ns):
        self.ticks += 1
        await super().wait_until(due_ns)
        if self.ticks == self.at_tick:
            await trio.sleep(self.seconds)
        return self.now_ns()


def make_trial(row, start, stop, *, target_id=None, x=None, y=None, reach_id=None):
    return Trial(row, start, stop, target_id, x, y, reach_id, MappingProxyType({}))


class NamedBins:
    """Bins that name themselves: unit 0 counts the bin index, x is the bin index."""

    def __init__(self, n_bins=400, *, rate_hz=40, n_units=3, trials=(), in_memory=True, read_s=0.0):
        self.grid = BinGrid(0.0, Fraction(rate_hz), n_bins)
        self.unit_ids = tuple(range(1011, 1011 + n_units))
        self.unit_labels = None
        self.memory_bytes = 0
        self.trials = trials if isinstance(trials, TrialTable) else TrialTable(tuple(trials))
        self.in_memory = in_memory
        self.reads = []
        self.fails = False

    def read(self, start, stop):
        if not 0 <= start <= stop <= self.grid.n_bins:
            raise BinRangeError(f"got [{start}, {stop})")
        if self.fails:
            raise RecordingError("the disk is gone")
        self.reads.append((start, stop))
        index = np.arange(start, stop)
        counts = np.zeros((stop - start, len(self.unit_ids)), np.uint16)
        counts[:, 0] = index % 65536
        kinematics = np.full((stop - start, 4), np.nan)
        kinematics[:, 2] = index
        starts = np.array([self.grid.start_of(i) for i in range(start, stop)])
        return Block(start, counts, kinematics, self.trials.rows_at(starts))


class FakeRecording:
    """What is asked of a recording that nobody reads."""

    dataset = "named"
    memory_bytes = 0


class FakeFile:
    """What a recovery sees of a recording: `lost` says why it cannot be opened again."""

    def __init__(self):
        self.lost = None
        self.damage = None
        self.moved = None
        self.opened = 0

    def reopen(self, sha256):
        if self.lost:
            raise RecordingError(self.lost)
        self.opened += 1

    def check(self):
        if self.damage:
            raise RecordingError(self.damage)

    def whereabouts(self):
        return self.moved

    def as_told(self, error):
        return error


class VirtualSupply(RecordingRecovery):
    """Reads on the event loop: virtual time must not leap while a thread is at work.

    Attributes:
        limiter: of the reads.
        stall: an event that reads which begin now wait for; None for none.
    """

    def __init__(self, file):
        self.limiter = trio.CapacityLimiter(1)
        super().__init__(file, self.limiter, lambda: "ab" * 32)
        self.stall = None

    async def _call(self, read, work):
        async with self.limiter:
            read.is_running = True
            try:
                if self.stall is not None:
                    await self.stall.wait()
                await trio.lowlevel.checkpoint()
                return work()
            finally:
                read.is_done = True


def make_parts(
    bins,
    *,
    clock=None,
    loop=True,
    phases=None,
    recovery=None,
    recording=None,
    has_records=False,
    fence=None,
):
    resources = EngineResources(
        clock or VirtualClock(),
        phases or PhaseAllocator(),
        IdleGarbageCollector(),
        loop,
        has_records,
        fence,
    )
    opened = OpenRecording(recording or FakeRecording(), trio.CapacityLimiter(1), recovery)
    return make_engine_parts(opened, bins, resources)


@dataclass(eq=False)
class ListSink:
    """Keeps what it is given, and when."""

    wire_format: object = None
    is_listening: bool = True
    is_deferred: bool = False
    transport: str = "websocket"
    dropped: int = 0
    was_given_up: bool = False
    backlog: object = None
    packets: list = field(default_factory=list)
    times: list = field(default_factory=list)
    deadlines: list = field(default_factory=list)
    ended: tuple | None = None
    changes: int = 0
    on_offer: object = None

    def offer_nowait(self, release):
        assert self.ended is None, "a packet after the end"
        self.packets.append(release.packet)
        self.times.append(trio.current_time())
        self.deadlines.append(release.deadline_ns)
        if self.on_offer is not None:
            self.on_offer(release)

    def stream_changed(self):
        self.changes += 1

    def end(self, code, reason):
        assert self.ended is None, "ended twice"
        self.ended = (code, reason)

    @property
    def ids(self):
        return [packet.packet_id for packet in self.packets]

    @property
    def sequence(self):
        return [packet.sequence_number for packet in self.packets]


def listen(session, wanted=NO_FILTER, **kwargs):
    """A `ListSink`, made with `kwargs`, that listens to a session."""
    sink = ListSink(**kwargs)
    session.subscribe(wanted, session.playback(wanted), sink)
    return sink


@asynccontextmanager
async def playing(session):
    """A session that runs, once all that it started waits; ended when the block is left."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        await trio.testing.wait_all_tasks_blocked()
        yield session
        session.close(1001, "test over")
