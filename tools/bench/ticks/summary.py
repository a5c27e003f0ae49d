"""Rounds of a scenario to the figures that are shown, in us. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from .live import Scenario
from .loop_times import BUILDING, OTHER, PREFETCH, TICKER
from .records import PARTS
from .rounds import Round
from .stages import PATH, STAGES, Profile

Json = dict[str, Any]

# Stages of a tick in which the ticker works: in the others it sleeps, or others work.
_WORK = ("return", "stamp", "hand over", "bookkeeping", "next")
_RESAMPLES, _AT_ONCE = 2000, 50
_SEED = 20_240_311


def summarize(scenario: Scenario, rounds: Sequence[Round]) -> Json:
    """The figures of one scenario over all its rounds.

    Percentiles are of all ticks together; what is one number a round is its median over rounds.
    """
    profiles = [r.stages for r in rounds]
    times = {name: _joined(p.times[name] for p in profiles) for name in profiles[0].times}
    handovers = _joined(p.times["hand over"] / max(p.sends, 1) for p in profiles)
    slept = np.isfinite(times["lead"])
    n_first = int(np.isfinite(times["kernel"]).sum())
    n_woken, n_idle = sum(p.wake_ups for p in profiles), sum(p.idle for p in profiles)
    n_ticks = sum(map(len, profiles))
    return {
        "name": scenario.name,
        "sessions": scenario.sessions,
        "clients_per_session": scenario.clients,
        "rate_hz": scenario.rate_hz,
        "rounds": len(rounds),
        "ticks": n_ticks,
        "stages_us": {name: spread(times[name]) for name in (*STAGES, *PARTS)},
        "past_deadline_us": {name: spread(times[f"past {name}"]) for name in PATH},
        "lateness_us": spread(times["lateness"]),
        "last_byte_us": spread(times["last byte"]),
        "hand_over_per_client_us": spread(handovers),
        "writes_per_tick": _mean(p.sends for p in profiles),
        "lead_us": float(np.median(times["lead"][slept])) / 1e3 if slept.any() else None,
        # Of the ticks that were the first of their turn, those that a timer had woken.
        "woken_by_timer": float(slept.sum()) / n_first if n_first else None,
        # How many share one, and how many were for none; None where the ticker never slept.
        "ticks_per_wake_up": n_ticks / (n_woken - n_idle) if n_woken > n_idle else None,
        "idle_wake_ups": n_idle / n_woken if n_woken else None,
        "packets_per_build": _mean(p.packets for p in profiles),
        "cpu_us": _cpu(rounds),
        "probes": {
            "inside_us": _median(rounds, lambda r: r.cost.inside),
            "total_us": _median(rounds, lambda r: r.cost.total),
            "per_tick": _mean(p.probes for p in profiles),
            "cpu_us": _median(rounds, lambda r: r.staged.per_tick - r.plain.per_tick),
        },
        "counters_us": difference(*(_joined(r.counters[n] for r in rounds) for n in (0, 1))),
        "floor_us": {
            name: spread(_joined(r.floor[name] for r in rounds)) for name in rounds[0].floor
        },
    }


def _cpu(rounds: Sequence[Round]) -> Json:
    def steps(r: Round, kind: str) -> float:
        return sum(r.loop.steps[kind]) / r.looped.ticks

    def metering(r: Round) -> float:
        return r.step_cost * sum(map(len, r.loop.steps.values())) / r.looped.ticks

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
    in_ticks = sum(median(found.times[name]) for name in _WORK)
    armed = found.wake_ups / len(found) * median(found.times["arm"])
    return in_ticks + armed + spun(found)


def spun(found: Profile) -> float:
    """A tick, mean, ns: many have no spin, and a long one is no accident."""
    return float(np.mean(found.times["spin"]))


def built(found: Profile) -> float:
    """What building comes to a packet, with the collector's turn; sum of medians, ns."""
    packets = max(found.packets, 1)
    return median(found.times["build"]) + median(found.times["collect"]) / packets


def median(values_ns: NDArray[np.float64]) -> float:
    """Of those that are there; 0 of nothing."""
    return (spread(values_ns)["p50"] or 0.0) * 1e3


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
    on, off = float(np.median(on_ns)) / 1e3, float(np.median(off_ns)) / 1e3
    # A seed of its own: the same ticks give the same interval. In pieces: thousands of ticks
    # times thousands of resamples would not fit in memory.
    found = bootstrap(
        (on_ns, off_ns),
        lambda a, b, axis: np.median(a, axis=axis) - np.median(b, axis=axis),
        n_resamples=_RESAMPLES,
        batch=_AT_ONCE,
        method="percentile",
        random_state=_SEED,
    ).confidence_interval
    low, high = float(found.low) / 1e3, float(found.high) / 1e3
    return {"on": on, "off": off, "difference": on - off, "low": low, "high": high}


def _joined(arrays: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.concatenate(list(arrays))


def _median(rounds: Sequence[Round], of: Callable[[Round], float]) -> float:
    """Over rounds, ns to us."""
    return float(np.median([of(r) for r in rounds])) / 1e3


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
