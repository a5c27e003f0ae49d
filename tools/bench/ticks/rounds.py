"""One round of a scenario: slices without probes, with each kind of them, and the floor."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import trio

from .bare_loop import Times, bare_loop
from .counters import counter_spans, switched_counters
from .events import Log
from .live import Live, Scenario, live, plain_connection
from .loop_times import LoopTimes, cost_of_a_step, metered
from .records import Found, read
from .stages import ProbeCost, Profile, probe_cost, profile
from .tick_probes import stage_probes

_SETTLE_SECONDS = 0.5


@dataclass(slots=True)
class Cpu:
    """CPU time of the server between two moments, ns, and the ticks of all its playheads."""

    thread: int = 0
    process: int = 0
    wall: int = 0
    ticks: int = 0

    @property
    def per_tick(self) -> float:
        """Of the loop's thread, ns."""
        return self.thread / self.ticks if self.ticks else np.nan


@dataclass(slots=True)
class Round:
    """What one round of a scenario measured.

    Attributes:
        plain, staged, looped: CPU without probes, with those of the stages, with the loop's.
        stages: of the ticks; none before the round is over.
        cost: of a probe.
        loop: times of the tasks.
        step_cost: what metering adds to a step, ns.
        counters: spans of ticks with the counters of the timing report, and without, ns.
        spun_share: of a core, that the governor last saw.
        floor: the bare loop.
    """

    plain: Cpu = field(default_factory=Cpu)
    staged: Cpu = field(default_factory=Cpu)
    looped: Cpu = field(default_factory=Cpu)
    stages: Profile = field(default_factory=lambda: profile(Found(), ProbeCost()))
    cost: ProbeCost = field(default_factory=ProbeCost)
    loop: LoopTimes = field(default_factory=LoopTimes)
    step_cost: float = 0.0
    counters: tuple[Times, Times] = (np.empty(0), np.empty(0))
    spun_share: float = 0.0
    floor: dict[str, Times] = field(default_factory=dict)


def measure_round(scenario: Scenario, recording: str | None, seconds: float) -> Round:
    """Run a scenario once, and the floor at its rate.

    Args:
        scenario: what to run.
        recording: path or dataset's name; None: as `phantomlink serve` has it.
        seconds: of each slice.

    Raises:
        RuntimeError: a session or a client was lost, or ticks could not be taken apart.
    """
    stages, counters = array("q"), array("q")
    result, frame = trio.run(_measure, scenario, recording, seconds, stages, counters)
    result.cost = probe_cost(stages)
    result.stages = profile(read(stages), result.cost)
    result.counters = counter_spans(read(counters), result.cost)
    if len(result.stages) < 0.9 * result.staged.ticks:
        # The code of a tick has changed, and the probes have to follow.
        raise RuntimeError(
            f"of {result.staged.ticks} ticks only {len(result.stages)} could be taken apart"
        )
    with plain_connection() as connection:
        result.floor = bare_loop(connection, frame, scenario.rate_hz, seconds)
    return result


async def _measure(
    scenario: Scenario, recording: str | None, seconds: float, stages: Log, counters: Log
) -> tuple[Round, bytes]:
    """Run the server and all slices. What the logs say is worked out after it, not in its loop."""
    result = Round()
    async with live(scenario, recording) as running:
        frame = await running.frame()
        await trio.sleep(_SETTLE_SECONDS)
        with _metered_cpu(running, result.plain):
            await trio.sleep(seconds)
        with stage_probes(stages), _metered_cpu(running, result.staged):
            await trio.sleep(seconds)
        await trio.sleep(_SETTLE_SECONDS)
        with _metered_cpu(running, result.looped), metered() as result.loop:
            await trio.sleep(seconds)
        result.step_cost = await cost_of_a_step()
        with stage_probes(counters), switched_counters(counters, running.service.registry):
            await trio.sleep(seconds)
        running.check()
        result.spun_share = running.service.clock.governor.last_share  # type: ignore[attr-defined]
    return result, frame


@contextmanager
def _metered_cpu(running: Live, cpu: Cpu) -> Iterator[None]:
    began = (running.n_ticks, time.process_time_ns(), time.monotonic_ns(), time.thread_time_ns())
    yield
    cpu.thread += time.thread_time_ns() - began[3]
    cpu.wall += time.monotonic_ns() - began[2]
    cpu.process += time.process_time_ns() - began[1]
    cpu.ticks += running.n_ticks - began[0]
