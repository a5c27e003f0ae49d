"""Rounds of a scenario to the figures that are shown, in us. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .live import Scenario
from .loop_times import BUILDING, OTHER, PREFETCH, TICKER
from .records import PARTS
from .rounds import Round
from .stages import PATH, STAGES, Profile

Json = dict[str, Any]

# Stages of a tick in which the ticker works: in the others it sleeps, or others work.
_WORK = ("return", "stamp", "hand over", "bookkeeping", "next")
_RESAMPLES = 2000
_SEED = 20_240_311


def summarize(scenario: Scenario, rounds: Sequence[Round]) -> Json:
    """The figures of one scenario over all its rounds.

    Percentiles are of all ticks together; what is one number a round is its median over rounds.
    """
    profiles = [r.stages for r in rounds]
    pooled = {
        name: spread(_joined(p.durations[name] for p in profiles)) for name in (*STAGES, *PARTS)
    }
    sends = float(np.mean([p.sends for p in profiles]))
    handovers = _joined(p.durations["hand over"] / max(p.sends, 1) for p in profiles)
    lead = _joined(p.lead for p in profiles)
    slept = np.isfinite(lead)
    return {
        "name": scenario.name,
        "sessions": scenario.sessions,
        "clients_per_session": scenario.clients,
        "rate_hz": scenario.rate_hz,
        "rounds": len(rounds),
        "ticks": sum(map(len, profiles)),
        "stages_us": pooled,
        "past_deadline_us": {
            name: spread(_joined(p.past[name] for p in profiles)) for name in PATH
        },
        "lateness_us": spread(_joined(p.lateness for p in profiles)),
        "last_byte_us": spread(_joined(p.last_byte for p in profiles)),
        "hand_over_per_client_us": spread(handovers),
        "writes_per_tick": sends,
        "lead_us": float(np.median(lead[slept])) / 1e3 if slept.any() else None,
        "woken_by_timer": _share_of_first(profiles, slept),
        **_wake_ups(profiles),
        "packets_per_build": _mean(p.packets for p in profiles),
        "cpu_us": _cpu(rounds),
        "probes": {
            "inside_us": _median(rounds, lambda r: r.cost.inside),
            "total_us": _median(rounds, lambda r: r.cost.total),
            "per_tick": _mean(p.probes for p in profiles),
            "cpu_us": _median(rounds, lambda r: r.staged.per_tick - r.plain.per_tick),
        },
        "counters_us": difference(
            _joined(r.counters[0] for r in rounds), _joined(r.counters[1] for r in rounds)
        ),
        "floor_us": {
            name: spread(_joined(getattr(r.floor, name) for r in rounds))
            for name in ("kernel", "send", "last_byte")
        },
    }


def _cpu(rounds: Sequence[Round]) -> Json:
    def steps(r: Round, kind: str) -> float:
        return sum(r.loop.steps[kind]) / r.looped.ticks

    def metering(r: Round) -> float:
        return r.step_cost * r.loop.n_steps / r.looped.ticks

    def trio(r: Round) -> float:
        tasks = sum(steps(r, kind) for kind in r.loop.steps)
        return r.loop.awake / r.looped.ticks - tasks - metering(r)

    return {
        "plain": _median(rounds, lambda r: r.plain.per_tick),
        "plain_by_round": [r.plain.per_tick / 1e3 for r in rounds],
        "process": _median(rounds, lambda r: r.plain.process / r.plain.ticks),
        "core_share": float(np.median([r.plain.thread / r.plain.wall for r in rounds])),
        "ticker": _median(rounds, lambda r: steps(r, TICKER)),
        "building": _median(rounds, lambda r: steps(r, BUILDING)),
        "prefetch": _median(rounds, lambda r: steps(r, PREFETCH)),
        "other": _median(rounds, lambda r: steps(r, OTHER)),
        "trio": _median(rounds, trio),
        "kernel_wait": _median(rounds, lambda r: r.looped.per_tick - r.loop.awake / r.looped.ticks),
        "metering": _median(rounds, metering),
        "stages": _median(rounds, lambda r: worked(r.stages)),
        "built": _median(rounds, lambda r: built(r.stages)),
        "spin": _median(rounds, lambda r: spun(r.stages)),
        "spin_share": float(np.median([r.spun_share for r in rounds])),
    }


def worked(found: Profile) -> float:
    """What the stages in which the ticker works come to a tick, ns: medians, and the mean spin."""
    in_ticks = sum(median(found.durations[name]) for name in _WORK)
    armed = found.wake_ups / len(found) * median(found.durations["arm"])
    return in_ticks + armed + spun(found)


def spun(found: Profile) -> float:
    """A tick, mean, ns: many have no spin, and a long one is no accident."""
    return float(np.mean(found.durations["spin"]))


def built(found: Profile) -> float:
    """What building comes to a packet, with the collector's turn; sum of medians, ns."""
    packets = max(found.packets, 1)
    return median(found.durations["build"]) + median(found.durations["collect"]) / packets


def median(values_ns: NDArray[np.float64]) -> float:
    """Of those that are there; 0 of nothing."""
    there = values_ns[np.isfinite(values_ns)]
    return float(np.median(there)) if there.size else 0.0


def spread(values_ns: NDArray[np.float64]) -> Json:
    """p50, p99 and mean in us, of those that are there; None of nothing."""
    there = values_ns[np.isfinite(values_ns)]
    if not there.size:
        return {"p50": None, "p99": None, "mean": None}
    p50, p99 = np.quantile(there, (0.5, 0.99)) / 1e3
    return {"p50": float(p50), "p99": float(p99), "mean": float(there.mean() / 1e3)}


def difference(on_ns: NDArray[np.float64], off_ns: NDArray[np.float64]) -> Json:
    """By how much the median of one is above that of the other, us, with its 95 % interval."""
    if not (on_ns.size and off_ns.size):
        return {"on": None, "off": None, "difference": None, "low": None, "high": None}
    # A seed of its own: the same ticks give the same interval.
    rng = np.random.default_rng(_SEED)

    def medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
        # In pieces: thousands of ticks times thousands of resamples would not fit in memory.
        drawn = (rng.integers(0, values.size, values.size) for _ in range(_RESAMPLES))
        return np.array([np.median(values[rows]) for rows in drawn])

    low, high = np.quantile(medians(on_ns) - medians(off_ns), (0.025, 0.975)) / 1e3
    on, off = float(np.median(on_ns)) / 1e3, float(np.median(off_ns)) / 1e3
    return {
        "on": on,
        "off": off,
        "difference": on - off,
        "low": float(low),
        "high": float(high),
    }


def _share_of_first(profiles: Sequence[Profile], slept: NDArray[np.bool_]) -> float | None:
    """Of the ticks that were the first of their turn, those that a timer had woken."""
    first = sum(int(np.isfinite(p.durations["kernel"]).sum()) for p in profiles)
    return float(slept.sum()) / first if first else None


def _wake_ups(profiles: Sequence[Profile]) -> Json:
    """How many ticks share one, and how many were for none; None where the ticker never slept."""
    n, idle = sum(p.wake_ups for p in profiles), sum(p.idle for p in profiles)
    return {
        "ticks_per_wake_up": sum(map(len, profiles)) / (n - idle) if n > idle else None,
        "idle_wake_ups": idle / n if n else None,
    }


def _joined(arrays: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(list(arrays))


def _median(rounds: Sequence[Round], of: Callable[[Round], float]) -> float:
    """Over rounds, ns to us."""
    return float(np.median([of(r) for r in rounds])) / 1e3


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
