"""The stages of each tick, and of the building of packets, from when what happened. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from .events import Event
from .records import PARTS, Fill, Found, Tick

# In the order of time. Those up to `hand over` can make a packet late.
PATH = ("loop busy", "kernel", "trio", "ticks before", "spin", "return", "stamp", "hand over")
AFTERWARDS = ("give way", "bookkeeping", "next", "arm")
# Of the playbacks' own tasks, and of no tick.
BUILDING = ("build", "collect")
STAGES = (*PATH, *AFTERWARDS, *BUILDING)

_OF_TICKS = (
    *(*PATH, *AFTERWARDS, PARTS[0], "lateness", "last byte", "lead"),
    *(f"past {stage}" for stage in PATH),
)
_OF_FILLS = (*BUILDING, *PARTS[1:])
# Of the path: what only the first tick of a turn has, and what only those that follow it.
_OF_FIRST = frozenset({"loop busy", "kernel", "trio"})
_OF_FOLLOWING = frozenset({"ticks before"})
# In each tick, beside those of its writes and of giving way: spin, release, offer. In each
# wake-up: what the ticker says of it, its turn, the timer; and in each building: itself and the
# collector's turn.
_TICK_PROBES, _WAKE_UP_PROBES, _FILL_PROBES = 3, 3, 2


def n_probes(tick: Tick) -> int:
    """Probes in a tick."""
    return _TICK_PROBES + len(tick.sends) + (Event.YIELD in tick.at)


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
    """What the probes around nothing say: they come in pairs, one right behind the other."""
    kinds, begins, ends = np.array(entries).reshape(-1, 3).T
    nothing = kinds == Event.NOTHING
    outside = (begins[1:] - ends[:-1])[nothing[1:] & nothing[:-1]]
    if not outside.size:
        return ProbeCost()
    inside = float(np.median((ends - begins)[nothing]))
    return ProbeCost(inside, inside + float(np.median(outside)))


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """The stages of n ticks, and of m times that packets were built, ns, without the probes.

    Attributes:
        times: by stage and by part: (n,) of a tick, NaN where it has none; of what is part of
            building, (m,) of a packet; of the collector's turn, (m,). By `past` and a stage of
            the path, (n,): what of it lay after the deadline. By `lateness` and `last byte`,
            (n,): from the deadline to the release and to the last write's return. By `lead`,
            (n,): by how much the wake-up was asked for before the deadline; NaN where it was not.
        sends: writes a tick, mean.
        probes: a tick, mean.
        wake_ups: of the ticker.
        idle: of these, with no tick due.
        packets: that are built in one go, mean.
    """

    times: dict[str, NDArray[np.float64]]
    sends: float
    probes: float
    wake_ups: int
    idle: int
    packets: float

    def __len__(self) -> int:
        return len(self.times["lateness"])


def profile(found: Found, cost: ProbeCost) -> Profile:
    """The stages.

    Args:
        found: in the events.
        cost: of a probe, which is taken off.
    """
    # By how much the probes of the ticks before it in its turn have held up a tick.
    held_up = 0.0
    ticks: list[dict[str, float]] = []
    for tick in found.ticks:
        held_up = 0.0 if tick.is_first else held_up
        ticks.append(_take_apart(tick, cost, held_up))
        # A spin ends at the deadline, whatever came before it.
        held_up = (0.0 if tick.spin_ns else held_up) + n_probes(tick) * cost.total
    fills = [_take_fill_apart(fill, cost) for fill in found.fills]
    n_ticks, n_fills = len(ticks) or np.nan, len(fills) or np.nan
    probes = (
        sum(map(n_probes, found.ticks))
        + _WAKE_UP_PROBES * found.wake_ups
        + sum(_FILL_PROBES + fill.packets + fill.encodings for fill in found.fills)
    )
    return Profile(
        times={name: np.array([row[name] for row in ticks], np.float64) for name in _OF_TICKS}
        | {name: np.array([row[name] for row in fills], np.float64) for name in _OF_FILLS},
        sends=sum(len(tick.sends) for tick in found.ticks) / n_ticks,
        probes=probes / n_ticks,
        wake_ups=found.wake_ups,
        idle=found.idle,
        packets=sum(fill.packets for fill in found.fills) / n_fills,
    )


def _take_apart(tick: Tick, cost: ProbeCost, held_up: float) -> dict[str, float]:
    """The stages of a tick, what of them lay past its deadline, and what that comes to."""
    at, extra, row = tick.at, _probes_in(tick, cost, held_up), dict[str, float]()
    deadline, asked = at[Event.DEADLINE][1], tick.asked
    path = _path(tick, deadline)
    others = _OF_FOLLOWING if tick.is_first else _OF_FIRST
    taken = 0.0
    for name, (begin, end) in zip(PATH, path, strict=True):
        raw = end - begin
        off = min(extra[name], raw)
        row[name] = np.nan if name in others else raw - off
        after = max(0, end - max(begin, deadline))
        off_after = off * after / raw if raw else 0.0
        row[f"past {name}"] = after - off_after
        taken += off_after
        if name == "return":
            row["lateness"] = end - deadline - taken
    last_byte = path[-1][1]
    row["last byte"] = last_byte - deadline - taken
    row["lead"] = deadline - asked if tick.is_first and asked is not None else np.nan
    # In the middle of the bookkeeping, which it is not part of.
    row["give way"] = tick.yielded_ns - extra["give way"]
    row["bookkeeping"] = at[Event.RELEASE][1] - last_byte - tick.yielded_ns - extra["bookkeeping"]
    row["next"] = tick.end - at[Event.RELEASE][1] - extra["next"]
    row["arm"] = np.nan if tick.arm_ns is None else tick.arm_ns - cost.inside
    row["send"] = sum(end - begin - cost.inside for begin, end in tick.sends)
    for name in (*AFTERWARDS, "send"):
        row[name] = np.maximum(row[name], 0.0)
    return row


def _probes_in(tick: Tick, cost: ProbeCost, held_up: float) -> dict[str, float]:
    """What the probes added to each stage: a probe's cost lies within it, before and after."""
    inside, total = cost.inside, cost.total
    outside = total - inside
    was_woken = tick.is_first and tick.asked is not None
    return {
        "loop busy": 0.0,
        "kernel": 0.0,
        # The rest of the instrument's call, the probe of the wake-up, half of the turn's.
        "trio": outside / 2 + total * 3 / 2 if was_woken else 0.0,
        "ticks before": held_up,
        "spin": 0.0,
        # The probe of the spin is part of it, where there is one.
        "return": outside / 2 + max(total - tick.spin_ns, 0.0),
        "stamp": total / 2,
        "hand over": inside / 2 + len(tick.sends) * total - outside / 2,
        "give way": inside,
        # The ends of the probes of the last write, the offer and the release, and what of the
        # one above is not inside.
        "bookkeeping": total + outside * (Event.YIELD in tick.at),
        # The other end of the release's, and the turn's where that comes next.
        "next": outside / 2 + inside / 2 * tick.is_last,
    }


def _path(tick: Tick, deadline: int) -> list[tuple[int, int]]:
    """Beginning and end of each stage up to the last byte; each begins where one ended.

    For a tick that follows others in its turn nobody was to wake up: it waits from its deadline
    on, if that is over, and for what the wake-up of the first one waited for too.
    """
    at, spin_from, turn_from = tick.at, tick.spin_from, tick.turn_from
    if tick.asked is None or tick.io is None:
        waits = [min(deadline, turn_from), turn_from, turn_from]
    else:
        waits = [tick.asked, max(tick.asked, tick.io[0]), tick.io[1]]
    if not tick.is_first:
        waits[0] = min(deadline, spin_from)
    last_byte = tick.sends[-1][1] if tick.sends else at[Event.OFFER][1]
    spun = [turn_from, spin_from, spin_from + tick.spin_ns]
    edges = [*waits, *spun, at[Event.RELEASE][0], at[Event.OFFER][0], last_byte]
    return list(pairwise(accumulate(edges, max)))


def _take_fill_apart(fill: Fill, cost: ProbeCost) -> dict[str, float]:
    """A packet of it, and the collector's turn."""
    n, within = fill.packets, cost.inside + (fill.packets + fill.encodings) * cost.total
    row = {
        "build": (fill.ns - within) / n,
        "assemble": (fill.assembled_ns - n * cost.inside) / n,
        "encode": (fill.encoded_ns - fill.encodings * cost.inside) / n,
        "collect": fill.collect_ns - cost.inside,
    }
    return {name: max(0.0, value) for name, value in row.items()}
