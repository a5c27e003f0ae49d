"""The stages of each tick, and of the building of packets, from when what happened. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from .events import Event
from .records import PARTS, Fill, Found, Tick, pairs

# In the order of time. Those up to `hand over` can make a packet late.
PATH = ("loop busy", "kernel", "trio", "ticks before", "spin", "return", "stamp", "hand over")
AFTERWARDS = ("give way", "bookkeeping", "next", "arm")
# Of the playbacks' own tasks, and of no tick.
BUILDING = ("build", "collect")
STAGES = (*PATH, *AFTERWARDS, *BUILDING)

# Of the path: what only the first tick of a turn has, and what only those that follow it.
_OF_FIRST = frozenset({"loop busy", "kernel", "trio"})
_OF_FOLLOWING = frozenset({"ticks before"})
# In each tick, beside those of its writes and of giving way: spin, release, offer. In each
# wake-up: what the ticker says of it, its turn, the timer; and in each building: itself and the
# collector's turn.
_TICK_PROBES, _WAKE_UP_PROBES, _FILL_PROBES = 3, 3, 2


@dataclass(frozen=True, slots=True)
class ProbeCost:
    """What one probe around a call costs, ns.

    Attributes:
        inside: of it, what lies between the two times that it writes down.
        total: all.
    """

    inside: float = 0.0
    total: float = 0.0


def probe_cost(entries: array[int]) -> ProbeCost:
    """What the probes around nothing say."""
    inside, outside = [], []
    began = ended = 0
    last = -1
    for kind, value in pairs(entries):
        if kind == Event.NOTHING:
            if last == Event.NOTHING_DONE:
                outside.append(value - ended)
            began = value
        elif kind == Event.NOTHING_DONE:
            inside.append(value - began)
            ended = value
        last = kind
    if not outside:
        return ProbeCost()
    within = float(np.median(inside))
    return ProbeCost(within, within + float(np.median(outside)))


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The stages of n ticks, and of m times that packets were built, ns, without the probes.

    Attributes:
        durations: by stage and by part: (n,) of a tick, NaN where it has none; of what is part
            of building, (m,) of a packet; of the collector's turn, (m,).
        past: (n,) by stage of the path: what of it lay after the deadline.
        lateness: (n,) from the deadline to the release.
        last_byte: (n,) from the deadline to the last write's return.
        lead: (n,) by how much the wake-up was asked for before the deadline; NaN where it was not.
        sends: writes a tick, mean.
        probes: a tick, mean.
        wake_ups: of the ticker.
        idle: of these, with no tick due.
        packets: that are built in one go, mean.
    """

    durations: dict[str, NDArray[np.float64]]
    past: dict[str, NDArray[np.float64]]
    lateness: NDArray[np.float64]
    last_byte: NDArray[np.float64]
    lead: NDArray[np.float64]
    sends: float
    probes: float
    wake_ups: int
    idle: int
    packets: float

    def __len__(self) -> int:
        return len(self.lateness)


def profile(found: Found, cost: ProbeCost) -> Profile:
    """The stages.

    Args:
        found: in the events.
        cost: of a probe, which is taken off.
    """
    taken_apart = _TakenApart(cost)
    for tick in found.ticks:
        taken_apart.add(tick)
    building = _building(found.fills, cost)
    n, sends = len(found.ticks), sum(tick.sends for tick in found.ticks)
    gave_way = sum(Event.GIVE_WAY in tick.at for tick in found.ticks)
    probes = (
        _TICK_PROBES * n
        + gave_way
        + sends
        + _WAKE_UP_PROBES * found.wake_ups
        + sum(_FILL_PROBES + fill.packets + fill.encoded for fill in found.fills)
    )
    durations = taken_apart.durations | building
    packets = [fill.packets for fill in found.fills]
    return Profile(
        {name: np.array(values, np.float64) for name, values in durations.items()},
        {name: np.array(values, np.float64) for name, values in taken_apart.past.items()},
        np.array(taken_apart.lateness, np.float64),
        np.array(taken_apart.last_byte, np.float64),
        np.array(taken_apart.lead, np.float64),
        sends / n if n else np.nan,
        probes / n if n else np.nan,
        found.wake_ups,
        found.idle,
        float(np.mean(packets)) if packets else np.nan,
    )


class _TakenApart:
    def __init__(self, cost: ProbeCost) -> None:
        self._cost = cost
        # By how much the probes of the ticks before it in its turn have held up a tick.
        self._held_up = 0.0
        self.durations: dict[str, list[float]] = {name: [] for name in (*PATH, *AFTERWARDS, "send")}
        self.past: dict[str, list[float]] = {name: [] for name in PATH}
        self.lateness: list[float] = []
        self.last_byte: list[float] = []
        self.lead: list[float] = []

    def add(self, tick: Tick) -> None:
        cost, durations = self._cost, self.durations
        if tick.is_first:
            self._held_up = 0.0
        at, extra = tick.at, self._probes_in(tick)
        deadline = at[Event.DEADLINE_NS]
        path = _path(tick, deadline)
        others = _OF_FOLLOWING if tick.is_first else _OF_FIRST
        taken = 0.0
        for name, (begin, end) in zip(PATH, path, strict=True):
            raw = end - begin
            off = min(extra[name], raw)
            durations[name].append(np.nan if name in others else raw - off)
            after = max(0, end - max(begin, deadline))
            off_after = off * after / raw if raw else 0.0
            self.past[name].append(after - off_after)
            taken += off_after
            if name == "return":
                self.lateness.append(end - deadline - taken)
        last_byte = path[-1][1]
        self.last_byte.append(last_byte - deadline - taken)
        asked = tick.wake_up.asked
        self.lead.append(deadline - asked if tick.is_first and asked is not None else np.nan)
        # In the middle of the bookkeeping, which it is not part of; not in every tick.
        gave_way = at.get(Event.GAVE_WAY, 0) - at.get(Event.GIVE_WAY, 0)
        for name, raw in (
            ("give way", gave_way),
            ("bookkeeping", at[Event.RELEASED] - last_byte - gave_way),
            ("next", tick.end - at[Event.RELEASED]),
        ):
            durations[name].append(max(0.0, raw - extra[name]))
        arm = np.nan if tick.arm_ns is None else max(0.0, tick.arm_ns - cost.inside)
        durations["arm"].append(arm)
        durations["send"].append(max(0.0, tick.send_ns - tick.sends * cost.inside))
        # A spin ends at the deadline, whatever came before it.
        before = 0.0 if tick.spin_ns else self._held_up
        n_probes = _TICK_PROBES + tick.sends + (Event.GIVE_WAY in at)
        self._held_up = before + n_probes * cost.total

    def _probes_in(self, tick: Tick) -> dict[str, float]:
        """What the probes added to each stage: a probe's cost lies within it, before and after."""
        inside, total = self._cost.inside, self._cost.total
        outside = total - inside
        has_given_way = Event.GIVE_WAY in tick.at
        return {
            "loop busy": 0.0,
            "kernel": 0.0,
            # The rest of the instrument's call, the probe of the wake-up, half of the turn's.
            "trio": outside / 2 + total * 3 / 2
            if tick.is_first and tick.wake_up.asked is not None
            else 0.0,
            "ticks before": self._held_up,
            "spin": 0.0,
            # The probe of the spin is part of it, where there is one.
            "return": outside / 2 + max(total - tick.spin_ns, 0.0),
            "stamp": total / 2,
            "hand over": inside / 2 + tick.sends * total - outside / 2,
            "give way": inside,
            # The ends of the probes of the last write, the offer and the release, and what of the
            # one above is not inside.
            "bookkeeping": total + outside * has_given_way,
            # The other end of the release's, and the turn's where that comes next.
            "next": outside / 2 + inside / 2 * tick.is_last,
        }


def _path(tick: Tick, deadline: int) -> list[tuple[int, int]]:
    """Beginning and end of each stage up to the last byte; each begins where one ended.

    For a tick that follows others in its turn nobody was to wake up: it waits from its deadline
    on, if that is over, and for what the wake-up of the first one waited for too.
    """
    wake_up, spin_from, turn_from = tick.wake_up, tick.spin_from, tick.turn_from
    if wake_up.asked is None:
        asked, busy_until, io_out = min(deadline, turn_from), turn_from, turn_from
    else:
        asked = wake_up.asked
        busy_until = max(asked, wake_up.io_in)
        io_out = max(wake_up.io_out, busy_until)
    if not tick.is_first:
        asked = min(deadline, spin_from)
    at = tick.at
    edges = [
        asked,
        busy_until,
        io_out,
        turn_from,
        spin_from,
        spin_from + tick.spin_ns,
        at[Event.RELEASE],
        at[Event.OFFER],
        tick.last_sent if tick.sends else at[Event.OFFERED],
    ]
    return list(pairwise(accumulate(edges, max)))


def _building(fills: Sequence[Fill], cost: ProbeCost) -> dict[str, list[float]]:
    durations: dict[str, list[float]] = {name: [] for name in (*BUILDING, *PARTS[1:])}
    for fill in fills:
        within = cost.inside + (fill.packets + fill.encoded) * cost.total
        raw = fill.ended - fill.began - within
        durations["build"].append(max(0.0, raw) / fill.packets)
        durations["collect"].append(max(0.0, fill.collect_ns - cost.inside))
        for name, n in (("assemble", fill.packets), ("encode", fill.encoded)):
            part = max(0.0, fill.sums[name] - n * cost.inside)
            durations[name].append(part / fill.packets)
    return durations
