"""From events to the stages of each tick. Pure.

Theory of operation. Between two waits a playback's task is not interrupted, so the events from
its SPIN to its ARMED are one tick, however many sessions play. What came before, the wake-up, is
put together from the latest IO_IN and IO_OUT of the loop and from what the task said when it ran
again. A tick whose deadline had passed before its task could sleep has no wake-up: all that it
waited for was the loop.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .events import Event

# In the order of time. Those up to `hand over` can make a packet late.
PATH = ("loop busy", "kernel", "trio", "spin", "return", "stamp", "hand over")
AFTERWARDS = ("give way", "bookkeeping", "build", "collect", "arm")
STAGES = (*PATH, *AFTERWARDS)
# Of stages above.
PARTS = ("send", "assemble", "encode")

# In each tick, beside those of its parts and of giving way: wake-up, spin, release, offer,
# building, collecting, arming.
_PROBES = 7
_SUMS = {Event.SENT: "send", Event.ASSEMBLED: "assemble", Event.ENCODED: "encode"}


@dataclass(frozen=True, slots=True)
class ProbeCost:
    """What one probe around a call costs, ns.

    Attributes:
        inside: of it, what lies between the two times that it writes down.
        total: all.
    """

    inside: float = 0.0
    total: float = 0.0


@dataclass(slots=True)
class _Tick:
    spin_from_ns: int
    spin_ns: int
    woke_ns: int | None
    wake_late_ns: int
    io_in_ns: int
    io_out_ns: int
    at: dict[int, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    n: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PARTS, 0))
    last_sent_ns: int = 0


_WHOLE = frozenset(
    {
        *(Event.RELEASE, Event.OFFER, Event.OFFERED, Event.DEADLINE_NS, Event.FILL, Event.FILLED),
        *(Event.COLLECT, Event.COLLECTED, Event.ARMED),
    }
)


def ticks(entries: array[int]) -> Iterator[_Tick]:
    """The whole ticks among the events."""
    tick: _Tick | None = None
    woke: tuple[int, int] | None = None
    io_in = io_out = began = 0
    for i in range(0, len(entries) - 1, 2):
        kind, value = entries[i], entries[i + 1]
        if kind == Event.IO_IN:
            io_in = value
        elif kind == Event.IO_OUT:
            io_out = value
        elif kind == Event.WOKE:
            woke = (value, 0)
        elif kind == Event.WAKE_LATE_NS:
            woke = (woke[0], value) if woke else None
        elif kind == Event.SPIN:
            at, late = woke if woke else (None, 0)
            tick, woke = _Tick(value, 0, at, late, io_in, io_out), None
        elif tick is None:
            continue
        elif kind == Event.SPIN_NS:
            tick.spin_ns = value
        elif kind in (Event.SEND, Event.ASSEMBLE, Event.ENCODE):
            began = value
        elif kind in _SUMS:
            part = _SUMS[Event(kind)]
            tick.sums[part] += value - began
            tick.n[part] += 1
            if kind == Event.SENT:
                tick.last_sent_ns = value
        else:
            tick.at[kind] = value
            if kind == Event.ARMED:
                if tick.at.keys() >= _WHOLE and tick.io_in_ns:
                    yield tick
                tick = None


def probe_cost(entries: array[int]) -> ProbeCost:
    """What the probes around nothing say."""
    inside, outside = [], []
    ended = 0
    last = -1
    for i in range(0, len(entries) - 1, 2):
        kind, value = entries[i], entries[i + 1]
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
    """The stages of n ticks, ns, without what the probes took.

    Attributes:
        durations: (n,) by stage and by part.
        past: (n,) by stage of the path: what of it lay after the deadline.
        lateness: (n,) from the deadline to the release.
        last_byte: (n,) from the deadline to the last write's return.
        lead: (n,) by how much the wake-up was asked for before the deadline; NaN where it was not.
        sends: writes a tick, mean.
        probes: a tick, mean.
    """

    durations: dict[str, NDArray[np.float64]]
    past: dict[str, NDArray[np.float64]]
    lateness: NDArray[np.float64]
    last_byte: NDArray[np.float64]
    lead: NDArray[np.float64]
    sends: float
    probes: float

    def __len__(self) -> int:
        return len(self.lateness)


def profile(found: list[_Tick], cost: ProbeCost) -> Profile:
    """The stages of ticks.

    Args:
        found: by `ticks`.
        cost: of a probe, which is taken off.
    """
    durations: dict[str, list[float]] = {name: [] for name in (*STAGES, *PARTS)}
    past: dict[str, list[float]] = {name: [] for name in PATH}
    lateness, last_byte, lead = [], [], []
    sends = probes = 0
    for tick in found:
        at, n = tick.at, tick.n
        deadline = at[Event.DEADLINE_NS]
        extra = _probes_in(tick, cost)
        path = _path(tick, deadline)
        taken = 0.0
        for name, (begin, end) in zip(PATH, path, strict=True):
            raw = end - begin
            off = min(extra[name], raw)
            durations[name].append(raw - off)
            after = max(0, end - max(begin, deadline))
            off_after = off * after / raw if raw else 0.0
            past[name].append(after - off_after)
            taken += off_after
            if name == "return":
                lateness.append(end - deadline - taken)
        last_byte.append(path[-1][1] - deadline - taken)
        lead.append(np.nan if tick.woke_ns is None else deadline - _asked(tick))
        # In the middle of the bookkeeping, which it is not part of; not in every tick.
        giving = at.get(Event.GIVE_WAY, 0)
        gave_way = at.get(Event.GAVE_WAY, 0) - giving
        for name, begin, end in (
            ("give way", giving, giving + gave_way),
            ("bookkeeping", path[-1][1] + gave_way, at[Event.FILL]),
            ("build", at[Event.FILL], at[Event.FILLED]),
            ("collect", at[Event.FILLED], at[Event.COLLECTED]),
            ("arm", at[Event.COLLECTED], at[Event.ARMED]),
        ):
            durations[name].append(max(0.0, end - begin - extra[name]))
        for name in PARTS:
            durations[name].append(max(0.0, tick.sums[name] - n[name] * cost.inside))
        sends += n["send"]
        probes += _PROBES + (Event.GIVE_WAY in at) + sum(n.values())
    return Profile(
        {name: np.array(values) for name, values in durations.items()},
        {name: np.array(values) for name, values in past.items()},
        np.array(lateness),
        np.array(last_byte),
        np.array(lead),
        sends / len(found) if found else np.nan,
        probes / len(found) if found else np.nan,
    )


def _asked(tick: _Tick) -> int:
    assert tick.woke_ns is not None
    return tick.woke_ns - tick.wake_late_ns


def _path(tick: _Tick, deadline: int) -> list[tuple[int, int]]:
    """Beginning and end of each stage up to the last byte; each begins where one ended."""
    spin_from = tick.spin_from_ns
    if tick.woke_ns is None:
        busy_until = io_out = spin_from
        asked = min(deadline, spin_from)
    else:
        asked = _asked(tick)
        busy_until, io_out = max(asked, tick.io_in_ns), tick.io_out_ns
    at = tick.at
    written = tick.last_sent_ns if tick.n["send"] else at[Event.OFFERED]
    edges = [
        asked,
        busy_until,
        max(io_out, busy_until),
        spin_from,
        spin_from + tick.spin_ns,
        at[Event.RELEASE],
        at[Event.OFFER],
        written,
    ]
    return [(begin, max(begin, end)) for begin, end in pairwise(edges)]


def _probes_in(tick: _Tick, cost: ProbeCost) -> dict[str, float]:
    """What the probes added to each stage: a probe's cost lies within it, before and after."""
    inside, total = cost.inside, cost.total
    outside = total - inside
    n = tick.n
    return {
        "loop busy": 0.0,
        "kernel": 0.0,
        # The rest of the instrument's call, and the probe of the wake-up.
        "trio": 0.0 if tick.woke_ns is None else outside / 2 + total,
        "spin": 0.0,
        # The probe of the spin is part of it, where there is one.
        "return": outside / 2 + max(total - tick.spin_ns, 0.0),
        "stamp": total / 2,
        "hand over": inside / 2 + n["send"] * total - outside / 2,
        "give way": inside,
        # The ends of the probes of the last write, the offer and the release, and what of the one
        # above is not inside.
        "bookkeeping": inside + (3 if Event.GIVE_WAY in tick.at else 2) * outside,
        "build": inside + (n["assemble"] + n["encode"]) * total,
        "collect": total,
        "arm": outside,
    }
