"""tools/tick_profile.py: events to stages, stages to tables, a short run of the real server."""

from __future__ import annotations

import json
import sys
import types
from array import array

import numpy as np
import pytest
import trio

from phantomlink.engine.clock import SystemClock
from phantomlink.engine.playback import Playback, _Builder
from phantomlink.engine.spin import SpinGovernor
from phantomlink.engine.timing import TimingCounters
from phantomlink.metrics import Histogram
from phantomlink.sinks.frame_stream import FrameStream
from phantomlink.source.synthetic import synthesize
from tools._profile import command
from tools._profile.counters import counter_spans
from tools._profile.events import Event
from tools._profile.loop import OTHER, PREFETCH, TICKS, cost_of_a_step, kind_of, metered
from tools._profile.probes import can_profile, replaced
from tools._profile.report import as_text
from tools._profile.scenarios import SCENARIOS, Scenario
from tools._profile.slices import measure_round
from tools._profile.stages import PATH, STAGES, ProbeCost, probe_cost, profile, ticks
from tools._profile.summary import difference, spread, summarize

E = Event
FREE = ProbeCost()


def log(*events):
    return array("q", [int(number) for pair in events for number in pair])


def wake_up(asked, io_in, io_out, woke):
    return [(E.IO_IN, io_in), (E.IO_OUT, io_out), (E.WOKE, woke), (E.WAKE_LATE_NS, woke - asked)]


def one_tick(*, deadline, spin_from, spin, at, sends=((10, 30),), until=E.ARMED):
    """Events from the spin on: its release begins at `at`, and all that follows is fixed."""
    events = [(E.SPIN, spin_from), (E.SPIN_NS, spin), (E.RELEASE, at), (E.OFFER, at + 5)]
    for begin, end in sends:
        events += [(E.SEND, at + begin), (E.SENT, at + end)]
    last = at + sends[-1][1]
    events += [
        *((E.OFFERED, last + 2), (E.DEADLINE_NS, deadline)),
        *((E.GIVE_WAY, last + 3), (E.GAVE_WAY, last + 23), (E.RELEASED, last + 30)),
        (E.FILL, last + 33),
        *((E.ASSEMBLE, last + 40), (E.ASSEMBLED, last + 50)),
        *((E.ENCODE, last + 51), (E.ENCODED, last + 71)),
        (E.FILLED, last + 80),
        *((E.COLLECT, last + 82), (E.COLLECTED, last + 84)),
        (E.ARMED, last + 99),
    ]
    return events


def stages_of(found, index=0):
    return {name: found.durations[name][index] for name in found.durations}


# --- stages


def test_a_tick_comes_apart_into_its_stages() -> None:
    events = [
        *wake_up(asked=900, io_in=100, io_out=950, woke=970),
        *one_tick(deadline=1000, spin_from=975, spin=25, at=1003),
    ]
    found = profile(list(ticks(log(*events))), FREE)
    assert stages_of(found) == {
        "loop busy": 0,
        "kernel": 50,
        "trio": 25,
        "spin": 25,
        "return": 3,
        "stamp": 5,
        "hand over": 25,
        "give way": 20,
        "bookkeeping": 13,
        "build": 47,
        "collect": 4,
        "arm": 15,
        "send": 20,
        "assemble": 10,
        "encode": 20,
    }
    assert found.lead.tolist() == [100]
    assert found.lateness.tolist() == [3]
    assert found.last_byte.tolist() == [33]
    assert {name: found.past[name][0] for name in PATH if found.past[name][0]} == {
        "return": 3,
        "stamp": 5,
        "hand over": 25,
    }


def test_what_is_past_the_deadline_comes_to_the_last_byte() -> None:
    events = [
        *wake_up(asked=900, io_in=100, io_out=1150, woke=1170),
        *one_tick(deadline=1000, spin_from=1175, spin=0, at=1180, sends=((10, 30), (31, 77))),
    ]
    found = profile(list(ticks(log(*events))), FREE)
    assert found.past["kernel"].tolist() == [150]
    assert found.past["spin"].tolist() == [0]
    assert found.durations["send"].tolist() == [66]
    assert found.sends == 2
    assert sum(found.past[name][0] for name in PATH) == found.last_byte[0] == 1180 + 77 - 1000


def test_a_wake_up_that_is_due_while_the_loop_works_waits_for_the_loop() -> None:
    events = [
        *wake_up(asked=900, io_in=940, io_out=944, woke=950),
        *one_tick(deadline=1000, spin_from=950, spin=50, at=1001),
    ]
    found = stages_of(profile(list(ticks(log(*events))), FREE))
    assert (found["loop busy"], found["kernel"], found["trio"]) == (40, 4, 6)


def test_a_tick_that_did_not_sleep_has_waited_for_the_loop_since_its_deadline() -> None:
    events = [
        *((E.IO_IN, 10), (E.IO_OUT, 20)),
        *one_tick(deadline=1000, spin_from=1300, spin=0, at=1301),
    ]
    found = profile(list(ticks(log(*events))), FREE)
    assert (found.durations["loop busy"][0], found.durations["kernel"][0]) == (300, 0)
    assert np.isnan(found.lead[0])
    assert found.lateness[0] == 301


def test_ticks_of_two_sessions_do_not_mix() -> None:
    events = [
        *wake_up(asked=900, io_in=100, io_out=950, woke=970),
        *one_tick(deadline=1000, spin_from=975, spin=25, at=1003),
        *((E.COLLECT, 1200), (E.COLLECTED, 1900)),  # of the slow tick, between two ticks
        *one_tick(deadline=1100, spin_from=1950, spin=0, at=1953, sends=((10, 90),)),
    ]
    found = profile(list(ticks(log(*events))), FREE)
    assert found.durations["collect"].tolist() == [4, 4]
    assert found.durations["send"].tolist() == [20, 80]
    # The second did not sleep: the wake-up before is not its own.
    assert np.isnan(found.lead).tolist() == [False, True]


def test_a_tick_need_not_give_way() -> None:
    events = wake_up(asked=900, io_in=100, io_out=950, woke=970) + [
        event
        for event in one_tick(deadline=1000, spin_from=975, spin=25, at=1003)
        if event[0] not in (E.GIVE_WAY, E.GAVE_WAY)
    ]
    found = profile(list(ticks(log(*events))), ProbeCost(inside=1, total=2))
    assert found.durations["give way"].tolist() == [0]
    assert found.durations["bookkeeping"].tolist() == [33 - 3]
    assert found.probes == 7 + 3


def test_half_a_tick_is_left_out() -> None:
    whole = [
        *wake_up(asked=900, io_in=100, io_out=950, woke=970),
        *one_tick(deadline=1000, spin_from=975, spin=25, at=1003),
    ]
    begun = wake_up(asked=1900, io_in=1150, io_out=1950, woke=1970) + one_tick(
        deadline=2000, spin_from=1975, spin=25, at=2003
    )
    assert len(list(ticks(log(*whole[9:], *whole, *begun[:-1])))) == 1
    # A tick whose building waited for the recording has no end of its own.
    other = [event for event in begun if event[0] != E.FILLED]
    assert len(list(ticks(log(*whole, *other)))) == 1


# --- what the probes cost


def test_a_probe_costs_what_two_around_nothing_say() -> None:
    pair = [(E.NOTHING, 100), (E.NOTHING_DONE, 103), (E.NOTHING, 110), (E.NOTHING_DONE, 113)]
    events = [*pair, (E.ARMED, 500), *((kind, at + 1000) for kind, at in pair)]
    assert probe_cost(log(*events)) == ProbeCost(inside=3, total=10)
    assert probe_cost(log((E.ARMED, 500))) == FREE


def test_what_the_probes_cost_is_taken_off() -> None:
    cost = ProbeCost(inside=2, total=6)
    sends = ((10, 30), (40, 60))
    events = [
        *wake_up(asked=900, io_in=100, io_out=950, woke=970),
        *one_tick(deadline=1000, spin_from=975, spin=25, at=1103, sends=sends),
    ]
    found = profile(list(ticks(log(*events))), cost)
    stages = stages_of(found)
    assert stages["send"] == 40 - 2 * 2
    assert stages["build"] == 47 - 2 - 2 * 6
    assert stages["encode"] == 20 - 2
    assert stages["return"] == 103 - 2  # the other probe's time was spent spinning anyway
    # From the beginning of the offer to the last byte: half of its own, two whole, less an end.
    assert stages["hand over"] == 55 - (1 + 12 - 2)
    assert found.last_byte[0] == sum(found.past[name][0] for name in PATH)
    assert found.probes == 8 + 4


def test_no_stage_is_shorter_than_nothing() -> None:
    events = [
        *wake_up(asked=900, io_in=100, io_out=950, woke=970),
        *one_tick(deadline=1000, spin_from=975, spin=25, at=1003),
    ]
    found = profile(list(ticks(log(*events))), ProbeCost(inside=500, total=1000))
    assert all(found.durations[name][0] >= 0 for name in STAGES)


# --- counters


def test_ticks_with_and_without_counters_are_told_apart() -> None:
    def tick(on, at, span):
        events = [(E.COUNTING, on), (E.RELEASE, at), (E.GIVE_WAY, at + 10), (E.GAVE_WAY, at + 14)]
        return [*events, (E.FILL, at + span)]

    events = tick(1, 100, 54) + tick(0, 200, 44) + tick(1, 300, 56) + tick(0, 400, 46)[:-1]
    found = counter_spans(log(*events))
    assert found.on.tolist() == [50, 52]
    assert found.off.tolist() == [40]
    assert counter_spans(array("q")).on.size == 0
    # With many ticks a second nobody is given way.
    hurried = counter_spans(log((E.COUNTING, 1), (E.RELEASE, 100), (E.FILL, 133)))
    assert hurried.on.tolist() == [33]


def test_a_difference_comes_with_an_interval_that_holds_it() -> None:
    rng = np.random.default_rng(5)
    on, off = rng.normal(50_000, 3000, 400), rng.normal(43_000, 3000, 400)
    found = difference(on, off)
    assert found["difference"] == pytest.approx(7.0, abs=1.0)
    assert 0.2 < found["high"] - found["low"] < 2.0
    assert found["low"] < found["difference"] < found["high"]
    assert found["difference"] == pytest.approx(found["on"] - found["off"])
    assert difference(on, np.empty(0))["difference"] is None


def test_percentiles_are_in_microseconds() -> None:
    assert spread(np.arange(1.0, 102.0) * 1000) == {"p50": 51.0, "p99": 100.0, "mean": 51.0}
    assert spread(np.empty(0)) == {"p50": None, "p99": None, "mean": None}


# --- the loop


def test_tasks_are_known_by_what_they_are_for() -> None:
    names = {
        "phantomlink.engine.session.Session._run_playback": TICKS,
        "phantomlink.engine.playback.Playback._prefetch": PREFETCH,
        "phantomlink.sinks.frame_stream.FrameStream.flush_forever": OTHER,
    }
    assert {name: kind_of(name) for name in names} == names
    # The names are those that trio gives.
    module = sys.modules[Playback.__module__]
    assert f"{module.__name__}.{Playback._prefetch.__qualname__}" in names


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
    assert not times.steps[TICKS]
    assert 0 < used < times.awake
    # Sleeping is not work: less than was slept, which a busy machine does not make untrue.
    assert times.awake < 500_000_000
    assert 0 <= cost < 1_000_000


def test_what_was_replaced_comes_back() -> None:
    thing = types.SimpleNamespace(name=1)

    def fail_meanwhile():
        with replaced(thing, "name", 2):
            assert thing.name == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_meanwhile()
    assert thing.name == 1


# --- the real server


def test_scenarios_are_those_that_are_asked_for() -> None:
    assert list(SCENARIOS) == ["1x1", "10x1", "100x1", "1x50", "1x1@1000"]
    assert Scenario(2, 2).paths == ["/stream/tick-0"] * 2 + ["/stream/tick-1"] * 2


@pytest.mark.slow
def test_a_round_of_the_real_server(tmp_path, monkeypatch) -> None:
    if can_profile() is not None:  # no timerfd: the command says so
        assert command.main([]) == 1
        return
    path = tmp_path / "short.nwb"
    synthesize(path, trials=8, units=20)
    touched = [
        *((Playback, "_release"), (_Builder, "fill"), (SpinGovernor, "spun")),
        *((FrameStream, "_send_nowait"), (SystemClock, "give_way"), (trio.lowlevel, "checkpoint")),
        *((TimingCounters, "released"), (Histogram, "record")),
    ]
    before = [getattr(owner, name) for owner, name in touched]
    for name in ("PHANTOM_DATA_DIR", "PHANTOM_DATASET"):
        monkeypatch.delenv(name, raising=False)
    scenario = Scenario(2, 3, 100)

    found = measure_round(scenario, str(path), 0.4)

    assert [getattr(owner, name) for owner, name in touched] == before
    # Two sessions of 100 packets a second; a busy machine may take its share.
    assert 40 < len(found.stages) <= found.staged.ticks < 120
    assert found.stages.sends == pytest.approx(3, abs=0.2)
    assert 0 < found.cost.inside < found.cost.total
    assert np.median(found.stages.durations["build"]) > np.median(found.stages.durations["encode"])
    assert np.nanmax(found.stages.lead) <= 400_000
    assert len(found.loop.steps[TICKS]) >= found.looped.ticks - 2
    assert min(found.counters.on.size, found.counters.off.size) > 10
    assert len(found.floor.kernel) == 40

    summary = summarize(scenario, [found, found])
    assert summary["ticks"] == 2 * len(found.stages)
    cpu = summary["cpu_us"]
    assert 0 < cpu["ticks"] < cpu["plain"] * 3
    text = as_text(
        {
            "machine": {"cpus": 2, "system": "Linux", "python": "3", "trio": "0"},
            "host": {"steal": 0.0, "busy": 0.5},
            "rounds": 2,
            "slice_seconds": 0.4,
            "scenarios": [summary],
        }
    )
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert any(line.startswith("| **deadline to last byte**") for line in rows)
    assert "nan" not in text


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch, capsys) -> None:
    asked = []

    def measured(scenario, recording, seconds):
        asked.append((scenario.name, recording, seconds))
        return scenario

    monkeypatch.setattr(command, "measure_round", measured)
    monkeypatch.setattr(
        command, "summarize", lambda scenario, rounds: {"name": scenario.name, "n": len(rounds)}
    )
    monkeypatch.setattr(command, "as_text", lambda result: json.dumps(result["scenarios"]))
    path = tmp_path / "ticks.json"
    flags = ["--scenario", "1x1", "--scenario", "1x50", "--rounds", "2", "--seconds", "0.5"]
    assert command.main(["r.nwb", *flags, "--json", str(path)]) == 0
    # In turn.
    assert asked == [(name, "r.nwb", 0.5) for name in ("1x1", "1x50", "1x1", "1x50")]
    written = json.loads(path.read_text())
    assert written["scenarios"] == [{"name": "1x1", "n": 2}, {"name": "1x50", "n": 2}]
    assert json.loads(capsys.readouterr().out) == written["scenarios"]
    assert 0 <= written["host"]["steal"] <= 1


def test_a_run_of_nothing_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        command.main(["--rounds", "0"])
    assert "at least one round" in capsys.readouterr().err
