"""tools/tick_profile.py: events to stages, stages to tables, a short run of the real server."""

from __future__ import annotations

import json
from array import array

import numpy as np
import pytest
import trio

from phantomlink.engine.builder import PacketBuilder
from phantomlink.engine.playback import Playback
from phantomlink.engine.playheads import Playheads
from phantomlink.engine.timing import TimingCounters
from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket.frame_stream import FrameStream
from phantomlink.recordings.synthetic import synthesize
from phantomlink.scheduling.clock import SystemClock
from phantomlink.scheduling.idle_collector import IdleGarbageCollector
from phantomlink.scheduling.spin import SpinGovernor, WakeMargin
from phantomlink.scheduling.ticker import Ticker
from tools import tick_profile as command
from tools.bench.ticks.counters import counter_spans
from tools.bench.ticks.events import Event
from tools.bench.ticks.live import SCENARIOS, Scenario
from tools.bench.ticks.loop_times import (
    BUILDING,
    OTHER,
    PREFETCH,
    TICKER,
    cost_of_a_step,
    kind_of,
    metered,
)
from tools.bench.ticks.records import PARTS, read
from tools.bench.ticks.rounds import measure_round
from tools.bench.ticks.stages import AFTERWARDS, PATH, STAGES, ProbeCost, probe_cost, profile
from tools.bench.ticks.summary import difference, spread, summarize
from tools.bench.ticks.tick_probes import can_profile

E = Event
FREE = ProbeCost()


def log(*events):
    return array("q", [int(number) for event in events for number in event])


def wake_up(asked, io_in, io_out, woke):
    return [(E.IO, io_in, io_out), (E.WAKE, woke, woke - asked)]


def one_tick(*, deadline, spin_from, spin, at, sends=((10, 30),)):
    """Events of a tick whose release begins at `at`; all that follows is fixed."""
    last = at + sends[-1][1]
    return [
        *((E.SPIN, spin_from, spin), *((E.SEND, at + begin, at + end) for begin, end in sends)),
        *((E.OFFER, at + 5, last + 2), (E.DEADLINE, at + 5, deadline)),
        *((E.YIELD, last + 3, last + 23), (E.RELEASE, at, last + 30)),
    ]


def turn(began, *ticks, ended, armed=True):
    """A turn of the ticker, and its going to sleep."""
    events = [*(event for tick in ticks for event in tick), (E.TURN, began, ended)]
    return events + [(E.ARM, ended + 1, ended + 13)] * armed


def building(at, packets=4):
    """Packets of 50 each, and the collector's turn."""
    events, end = [], at + 8 + 50 * packets
    for packet in range(at + 8, end, 50):
        events += [(E.ASSEMBLE, packet, packet + 15), (E.ENCODE, packet + 20, packet + 43)]
    return [*events, (E.FILL, at, end), (E.COLLECT, end + 2, end + 5)]


WAKE_UP = wake_up(asked=900, io_in=100, io_out=950, woke=970)
TICK = one_tick(deadline=1000, spin_from=975, spin=25, at=1003)


def profiled(*events, cost=FREE):
    return profile(read(log(*events)), cost)


def stages_of(found, index=0):
    """Of a tick: those that it has."""
    return {
        name: found.times[name][index]
        for name in (*PATH, *AFTERWARDS, "send")
        if not np.isnan(found.times[name][index])
    }


def past(found, index=0):
    """What of the stages lay after the deadline of a tick."""
    times = {name: found.times[f"past {name}"][index] for name in PATH}
    return {name: ns for name, ns in times.items() if ns}


# --- stages


def test_a_tick_comes_apart_into_its_stages() -> None:
    found = profiled(*WAKE_UP, *turn(972, TICK, ended=1075))
    assert stages_of(found) == {
        "loop busy": 0,
        "kernel": 50,
        "trio": 25,
        "spin": 25,
        "return": 3,
        "stamp": 5,
        "hand over": 25,
        "give way": 20,
        "bookkeeping": 10,
        "next": 12,
        "arm": 12,
        "send": 20,
    }
    assert found.times["lead"].tolist() == [100]
    assert found.times["lateness"].tolist() == [3]
    assert found.times["last byte"].tolist() == [33]
    assert past(found) == {"return": 3, "stamp": 5, "hand over": 25}


def test_what_is_past_the_deadline_comes_to_the_last_byte() -> None:
    late = one_tick(deadline=1000, spin_from=1175, spin=0, at=1180, sends=((10, 30), (31, 77)))
    found = profiled(
        *wake_up(asked=900, io_in=100, io_out=1150, woke=1170), *turn(1172, late, ended=1400)
    )
    assert found.times["past kernel"].tolist() == [150]
    assert found.times["past spin"].tolist() == [0]
    assert found.times["send"].tolist() == [66]
    assert found.sends == 2
    assert sum(past(found, 0).values()) == found.times["last byte"][0] == 1180 + 77 - 1000


def test_a_wake_up_that_is_due_while_the_loop_works_waits_for_the_loop() -> None:
    tick = one_tick(deadline=1000, spin_from=950, spin=50, at=1001)
    found = stages_of(
        profiled(*wake_up(asked=900, io_in=940, io_out=944, woke=947), *turn(948, tick, ended=1075))
    )
    assert (found["loop busy"], found["kernel"], found["trio"]) == (40, 4, 6)


def test_a_tick_that_did_not_sleep_has_waited_for_the_loop_since_its_deadline() -> None:
    found = profiled(
        (E.IO, 10, 20),
        *turn(1290, one_tick(deadline=1000, spin_from=1300, spin=0, at=1301), ended=1400),
    )
    assert (found.times["loop busy"][0], found.times["kernel"][0]) == (300, 0)
    assert np.isnan(found.times["lead"][0])
    assert found.times["lateness"][0] == 301


def test_a_tick_behind_another_has_no_wake_up_and_waits_for_that_one_alone() -> None:
    following = one_tick(deadline=1040, spin_from=1080, spin=0, at=1084, sends=((10, 90),))
    third = one_tick(deadline=1250, spin_from=1230, spin=20, at=1251)
    found = profiled(*WAKE_UP, *turn(972, TICK, following, third, ended=1330))
    assert stages_of(found, 1) == {
        "ticks before": 40,
        "spin": 0,
        "return": 4,
        "stamp": 5,
        "hand over": 85,
        "give way": 20,
        "bookkeeping": 10,
        "next": 1230 - (1084 + 90 + 30),
        "send": 80,
    }
    # The first tick ends where the second begins to spin, and only the last sets the timer.
    assert found.times["next"].tolist() == [1080 - 1063, 26, 1330 - 1311]
    assert np.isnan(found.times["arm"]).tolist() == [True, True, False]
    assert stages_of(found, 2)["ticks before"] == 0
    assert np.isnan(found.times["lead"]).tolist() == [False, True, True]
    assert found.times["lateness"].tolist() == [3, 44, 1]
    assert (found.wake_ups, found.idle) == (1, 0)


def test_what_the_first_tick_of_a_turn_waited_for_has_kept_the_others_too() -> None:
    late = wake_up(asked=900, io_in=1100, io_out=1150, woke=1170)
    first = one_tick(deadline=1000, spin_from=1180, spin=0, at=1183)
    second = one_tick(deadline=1075, spin_from=1260, spin=0, at=1263)
    third = one_tick(deadline=1200, spin_from=1340, spin=0, at=1343)
    found = profiled(*late, *turn(1172, first, second, third, ended=1420))
    waits = ("loop busy", "kernel", "trio", "ticks before")
    assert [found.times[f"past {name}"].tolist() for name in waits] == [
        [100, 25, 0],
        [50, 50, 0],
        [30, 30, 0],
        [0, 80, 140],
    ]
    for i in range(3):
        assert sum(past(found, i).values()) == found.times["last byte"][i]


def test_a_turn_that_took_too_long_goes_on_without_a_wake_up() -> None:
    following = one_tick(deadline=1040, spin_from=1150, spin=0, at=1153)
    found = profiled(
        *(*WAKE_UP, *turn(972, TICK, ended=1075, armed=False)),
        (E.IO, 1100, 1101),
        *turn(1140, following, ended=1230),
    )
    assert (found.times["loop busy"][1], found.times["kernel"][1]) == (110, 0)
    assert np.isnan(found.times["arm"]).tolist() == [True, False]
    assert (found.wake_ups, found.idle) == (1, 0)


def test_a_wake_up_without_a_tick_is_counted_and_belongs_to_none() -> None:
    late = (E.IO, 1500, 1600)
    found = profiled(
        *(*wake_up(asked=400, io_in=100, io_out=450, woke=470), *turn(472, ended=490)),
        *(*WAKE_UP, *turn(972, TICK, ended=1075)),
        # A playback sets the timer too, while the ticker sleeps.
        (E.ARM, 1300, 1310),
        *(late, *turn(1610, one_tick(deadline=1600, spin_from=1615, spin=0, at=1617), ended=1700)),
    )
    assert (found.wake_ups, found.idle) == (3, 1)
    assert found.times["lead"].tolist()[0] == 100
    assert np.isnan(found.times["lead"][1])
    assert found.times["arm"].tolist() == [12, 12]


def test_a_wake_up_for_a_tick_that_was_called_before_another_task_says_nothing_of_the_next() -> (
    None
):
    following = one_tick(deadline=1500, spin_from=1515, spin=0, at=1520)
    found = profiled(
        *(*wake_up(asked=400, io_in=100, io_out=450, woke=470), *turn(472, ended=490)),
        # Its time has come, and so has the alarm, before the ticker's own task goes on.
        *turn(
            1010, one_tick(deadline=1000, spin_from=1012, spin=0, at=1015), ended=1085, armed=False
        ),
        *wake_up(asked=900, io_in=1100, io_out=1110, woke=1510),
        *turn(1512, following, ended=1600),
    )
    assert np.isnan(found.times["lead"]).tolist() == [True, True]
    assert found.times["past loop busy"].tolist() == [12, 15]
    assert (found.wake_ups, found.idle) == (2, 1)


def test_a_tick_need_not_give_way() -> None:
    tick = [event for event in TICK if event[0] != E.YIELD]
    found = profiled(*WAKE_UP, *turn(972, tick, ended=1075), cost=ProbeCost(inside=1, total=2))
    assert found.times["give way"].tolist() == [0]
    assert found.times["bookkeeping"].tolist() == [30 - 2]
    # Of the tick with its write, and of the wake-up.
    assert found.probes == 4 + 3


def test_half_a_tick_is_left_out() -> None:
    whole = [*WAKE_UP, *turn(972, TICK, ended=1075)]
    next_tick = one_tick(deadline=2000, spin_from=1975, spin=25, at=2003)
    begun = wake_up(asked=1900, io_in=1150, io_out=1950, woke=1970)
    cut = turn(1972, next_tick, ended=2075, armed=False)[:-1]
    assert len(read(log(*turn(472, TICK, ended=575), *whole, *begun, *cut)).ticks) == 1
    # A tick that finds a stall releases nothing, and has an end all the same.
    stalled = next_tick[:1]
    later = one_tick(deadline=2030, spin_from=1999, spin=31, at=2033)
    found = read(log(*whole, *begun, *turn(1972, stalled, later, ended=2105)))
    assert [tick.at[E.DEADLINE][1] for tick in found.ticks] == [1000, 2030]


# --- building


def test_building_is_told_by_the_packet() -> None:
    found = profiled(*building(100), *WAKE_UP, *turn(972, TICK, ended=1075), *building(2000, 2))
    assert found.times["build"].tolist() == [52, 54]
    assert found.times["assemble"].tolist() == [15, 15]
    assert found.times["encode"].tolist() == [23, 23]
    assert found.times["collect"].tolist() == [3, 3]
    assert found.packets == 3
    assert len(found) == 1


def test_building_that_waited_for_the_recording_is_left_out() -> None:
    waited = [(E.IO, 140, 150), *building(100)]
    # Packets that are shown to a client which has just come are not built ahead of a tick.
    shown = [(E.ASSEMBLE, 900, 950), (E.ENCODE, 951, 990)]
    found = read(log(*waited, *shown, *building(1000, 3), (E.COLLECT, 3000, 3900)))
    (fill,) = found.fills
    assert (fill.packets, fill.encodings, fill.collect_ns) == (3, 3, 3)


# --- what the probes cost


def test_a_probe_costs_what_two_around_nothing_say() -> None:
    pair = [(E.NOTHING, 100, 103), (E.NOTHING, 110, 113)]
    later = [(kind, begin + 1000, end + 1000) for kind, begin, end in pair]
    assert probe_cost(log(*pair, (E.ARM, 490, 500), *later)) == ProbeCost(inside=3, total=10)
    assert probe_cost(log((E.ARM, 490, 500))) == FREE


def test_what_the_probes_cost_is_taken_off() -> None:
    cost = ProbeCost(inside=2, total=6)
    sends = ((10, 30), (40, 60))
    tick = one_tick(deadline=1000, spin_from=975, spin=25, at=1103, sends=sends)
    found = profiled(*WAKE_UP, *turn(972, tick, ended=1205), *building(2000), cost=cost)
    stages = stages_of(found)
    assert stages["send"] == 40 - 2 * 2
    assert stages["return"] == 103 - 2  # the other probe's time was spent spinning anyway
    # From the beginning of the offer to the last byte: half of its own, two whole, less an end.
    assert stages["hand over"] == 55 - (1 + 12 - 2)
    # The other end of the release's probe, and the half of the turn's.
    assert stages["next"] == 1205 - (1163 + 30) - (2 + 1)
    assert stages["arm"] == 12 - 2
    assert found.times["last byte"][0] == sum(past(found, 0).values())
    assert found.times["build"].tolist() == [(208 - 2 - 8 * 6) / 4]
    assert found.times["encode"].tolist() == [23 - 2]
    assert found.times["collect"].tolist() == [3 - 2]
    assert found.probes == 6 + 3 + 2 + 8


def test_what_the_probes_of_a_tick_cost_does_not_make_the_next_one_late() -> None:
    cost = ProbeCost(inside=2, total=6)
    late = one_tick(deadline=1040, spin_from=1080, spin=0, at=1084)
    later = one_tick(deadline=1100, spin_from=1160, spin=0, at=1164)
    punctual = one_tick(deadline=1300, spin_from=1240, spin=60, at=1301)
    last = one_tick(deadline=1310, spin_from=1380, spin=0, at=1384)
    ticks = (TICK, late, later, punctual, last)
    woken = wake_up(asked=1900, io_in=1500, io_out=1950, woke=1970)
    behind = one_tick(deadline=2040, spin_from=2140, spin=0, at=2144)
    next_turn = (one_tick(deadline=2000, spin_from=1990, spin=0, at=2053), behind)
    found = profiled(
        *(*WAKE_UP, *turn(972, *ticks, ended=1460)),
        *(*woken, *turn(1980, *next_turn, ended=2220)),
        cost=cost,
    )
    # Five probes a tick, which add up until a spin has used them up.
    assert found.times["ticks before"].tolist()[1:5] == [40 - 30, 60 - 60, 0, 70 - 30]
    # What came before the wake-up has no part in it.
    assert found.times["ticks before"][6] == 100 - 30
    for i in range(len(ticks)):
        assert sum(past(found, i).values()) == pytest.approx(found.times["last byte"][i])


def test_no_stage_is_shorter_than_nothing() -> None:
    found = profiled(
        *(*building(100), *WAKE_UP, *turn(972, TICK, ended=1075)),
        cost=ProbeCost(inside=500, total=1000),
    )
    for name in (*STAGES, *PARTS):
        values = found.times[name]
        assert (values[np.isfinite(values)] >= 0).all()


# --- counters


def test_ticks_with_and_without_counters_are_told_apart() -> None:
    def counted(on, at):
        tick = one_tick(deadline=at, spin_from=at - 25, spin=25, at=at)
        return [*tick, (E.COUNTING, at, on)]

    ticks = (counted(1, 1000), counted(0, 1100), counted(1, 1200))
    events = [*WAKE_UP, *turn(972, *ticks, ended=1290)]
    on, off = counter_spans(read(log(*events)), ProbeCost(inside=1, total=2))
    # From the release to where the next tick spins, without giving way and without five probes.
    assert on.tolist() == [75 - 20 - 10, 90 - 20 - 10]
    assert off.tolist() == [75 - 20 - 10]


def test_a_difference_comes_with_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(5)
    on, off = rng.normal(50_000, 3000, 400), rng.normal(43_000, 3000, 400)
    found = difference(on, off)
    assert found["on"] - found["off"] == found["difference"] == pytest.approx(7.0, abs=1.0)
    assert found["difference"] - 1 < found["low"] < found["difference"] < found["high"]
    assert difference(on, np.empty(0))["difference"] is None


def test_percentiles_are_in_microseconds() -> None:
    assert spread(np.arange(1.0, 102.0) * 1000) == {"p50": 51.0, "p99": 100.0, "mean": 51.0}
    assert spread(np.empty(0)) == {"p50": None, "p99": None, "mean": None}


# --- the loop


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (Ticker._run, TICKER),
        (Playheads._run, BUILDING),
        (Playback._prefetch, PREFETCH),
        (FrameStream.flush_forever, OTHER),
    ],
)
def test_tasks_are_known_by_the_names_that_trio_gives(method, kind) -> None:
    assert kind_of(f"{method.__module__}.{method.__qualname__}") == kind


def test_the_meter_counts_the_cpu_of_tasks_and_of_nothing_else() -> None:
    async def busy() -> None:
        for _ in range(10):
            sum(range(20_000))
            await trio.lowlevel.checkpoint()

    async def main():
        with metered() as times:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(busy)
            await trio.sleep(0.5)
        return times, await cost_of_a_step()

    times, cost = trio.run(main)
    used = sum(times.steps[OTHER])
    assert len(times.steps[OTHER]) >= 10
    assert not any(times.steps[kind] for kind in (TICKER, BUILDING))
    assert 0 < used < times.awake
    # Sleeping is not work: less than was slept, which a busy machine does not make untrue.
    assert times.awake < 500_000_000
    assert 0 <= cost < 1_000_000


# --- the real server


@pytest.mark.slow
def test_the_real_server(tmp_path, monkeypatch, capsys) -> None:
    if can_profile() is not None:  # no timerfd: the command says so
        assert command.main([]) == 1
        return
    path = tmp_path / "short.nwb"
    synthesize(path, trials=8, units=20)
    probed = (Playback, PacketBuilder, SpinGovernor, FrameStream, SystemClock, Ticker, WakeMargin)
    touched = (*probed, IdleGarbageCollector, TimingCounters, Histogram)
    before = [dict(vars(owner)) for owner in touched]
    for name in ("PHANTOM_DATA_DIR", "PHANTOM_DATASET"):
        monkeypatch.delenv(name, raising=False)
    scenario = Scenario(2, 3, 100)

    found = measure_round(scenario, str(path), 0.4)

    assert [dict(vars(owner)) for owner in touched] == before
    # Two sessions of 100 packets a second; a busy machine may take its share.
    assert 40 < len(found.stages) <= found.staged.ticks < 120
    assert found.stages.sends == pytest.approx(3, abs=0.2)
    assert 0 < found.cost.inside < found.cost.total
    assert np.median(found.stages.times["build"]) > np.median(found.stages.times["encode"])
    assert np.nanmax(found.stages.times["lead"]) <= 400_000
    # Four packets at a time. How many ticks share a step of the ticker depends on the machine.
    assert found.stages.packets == pytest.approx(4, abs=0.5)
    assert len(found.loop.steps[TICKER]) > 1
    assert len(found.loop.steps[BUILDING]) >= found.looped.ticks / 4 - 2
    assert min(found.counters[0].size, found.counters[1].size) > 10
    assert len(found.floor["kernel"]) == 40

    summary = summarize(scenario, [found, found])
    assert summary["ticks"] == 2 * len(found.stages)
    cpu = summary["cpu_us"]
    assert 0 < cpu["ticker"] < cpu["plain"] * 3
    assert 0 < cpu["building"] < cpu["plain"] * 3
    assert summary["ticks_per_wake_up"] >= 1

    # The command asks for rounds in turn, and prints what it writes.
    asked = []
    monkeypatch.setattr(command, "measure_round", lambda *args: asked.append(args) or found)
    out = tmp_path / "ticks.json"
    flags = ["--scenario", "1x1", "--scenario", "1x50", "--rounds", "2", "--seconds", "0.5"]
    assert command.main(["r.nwb", *flags, "--json", str(out)]) == 0
    assert asked == [(SCENARIOS[name], "r.nwb", 0.5) for name in ("1x1", "1x50", "1x1", "1x50")]
    written = json.loads(out.read_text())
    assert [each["cpu_us"] for each in written["scenarios"]] == [cpu, cpu]
    assert 0 <= written["host"]["steal"] <= 1
    printed = capsys.readouterr().out
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert any(line.startswith("| last_byte_us ") for line in rows)
    assert "nan" not in printed
