"""Answers about sessions, on a virtual clock: every figure is exact."""

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
import trio
import trio.testing

from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.recordings.trials import Filter, TrialTable
from phantomlink.rest.playheads import perturbation_of
from phantomlink.rest.records import iso
from phantomlink.rest.routes.control import position_of, sought
from phantomlink.rest.routes.metrics import session_metrics
from phantomlink.rest.routes.perturbation import perturbation_changed
from phantomlink.rest.routes.sessions import session_created, session_state
from phantomlink.rest.routes.stats import Tally, stats_of, tally, totals
from tests.fakes import ListSink, NamedBins, make_parts, make_trial

told = msgspec.to_builtins

TRIALS = (
    make_trial(0, 1.0, 2.0, target_id=0, x=10.0, y=0.0, reach_id=0),
    make_trial(1, 3.0, 4.0, target_id=1, x=0.0, y=10.0, reach_id=1),
)


@pytest.fixture
def session(autojump_clock, nursery):
    session = Session("abc", make_parts(NamedBins(n_bins=400, trials=TRIALS)))
    nursery.start_soon(session.run)
    return session


def listen(session, wanted=NO_FILTER):
    sink = ListSink()
    session.subscribe(wanted, session.playback(wanted), sink)
    return sink


async def play(session, packets, wanted=NO_FILTER):
    """A listener that has received this many packets; the session is paused then."""
    enough = trio.Event()

    def count(release):
        if len(sink.packets) == packets:
            session.pause()
            enough.set()

    sink = listen(session, wanted)
    sink.on_offer = count
    await enough.wait()
    await trio.testing.wait_all_tasks_blocked()
    return sink


def test_times_are_utc_with_z():
    moment = datetime(2026, 1, 1, 1, 0, 0, 25_400, timezone(timedelta(hours=1)))
    assert iso(moment) == "2026-01-01T00:00:00.025Z"
    assert re.fullmatch(r"[-0-9]{10}T[:0-9]{8}\.[0-9]{3}Z", iso(datetime.now(UTC)))


async def test_a_session_that_nobody_has_listened_to(autojump_clock, session):
    assert told(position_of(session)) == {
        "session_code": "abc",
        "position_seconds": 0.0,
        "current_packet": 0,
        "duration_seconds": 10.0,
        "total_packets": 400,
        "is_playing": False,
        "waiting_for": None,
        "is_paused": False,
        "is_stopped": False,
        "sequence_number": 0,
        "loop": 0,
        "filtered": [],
    }
    stats = told(stats_of(session))
    nothing = dict.fromkeys(("mean", "std", "p50", "p99", "max"))
    assert stats["timing_error_ms"] == stats["network_latency_ms"] == nothing
    assert (stats["is_running"], stats["elapsed_seconds"], stats["packets_sent"]) == (False, 0, 0)


async def test_position_is_that_of_the_next_packet(autojump_clock, session):
    sink = await play(session, 10)
    assert sink.ids[-1] == 9
    position = told(position_of(session))
    assert (position["current_packet"], position["position_seconds"]) == (10, 0.25)
    assert (position["is_playing"], position["is_paused"]) == (False, True)
    session.resume()
    assert told(position_of(session))["is_playing"] is True


async def test_elapsed_time_is_stream_time_whatever_the_position(autojump_clock, session):
    await play(session, 10)
    session.seek(300)
    await trio.sleep(60)
    assert told(stats_of(session))["elapsed_seconds"] == 0.25
    assert told(position_of(session))["position_seconds"] == 7.5
    assert told(sought(session)) == {
        "status": "seeked",
        "session_code": "abc",
        "packet_id": 300,
        "position_seconds": 7.5,
    }


async def test_filtered_playheads_are_listed_beside_the_unfiltered_one(autojump_clock, session):
    wanted = Filter(trial_id=1)
    sink = await play(session, 3, wanted)
    assert sink.ids == [120, 121, 122]
    stats = told(stats_of(session))
    assert (stats["current_packet"], stats["elapsed_seconds"]) == (0, 0.0)
    assert (stats["packets_sent"], stats["active_connections"]) == (3, 1)
    (filtered,) = stats["filtered"]
    assert (
        filtered
        == told(position_of(session))["filtered"][0]
        == {
            "filter": {"trial_id": 1, "target_id": None, "reach_id": None},
            "current_packet": 123,
            "position_seconds": 3.075,
            "total_packets": 40,
            "sequence_number": 3,
            "loop": 0,
            "active_connections": 1,
            "is_playing": False,
            "waiting_for": None,
            "packets_sent": 3,
            "stalls": 0,
            "overruns": 0,
        }
    )


async def test_packets_of_a_playhead_that_has_gone_still_count(autojump_clock, session):
    filtered = await play(session, 3, Filter(trial_id=1))
    session.resume()
    await play(session, 2)
    played = len(filtered.packets)
    session.unsubscribe(filtered)
    stats = told(stats_of(session))
    assert stats["filtered"] == []
    assert stats["packets_sent"] == played + 2


async def test_drops_of_a_client_that_has_left_still_count(autojump_clock, session):
    slow, other = listen(session), listen(session)
    slow.dropped, other.dropped = 3, 4
    assert told(stats_of(session))["dropped_packets"] == 7
    session.unsubscribe(slow)
    session.unsubscribe(slow)
    assert told(stats_of(session))["dropped_packets"] == 7
    session.stop()
    assert told(stats_of(session))["dropped_packets"] == 7


async def test_a_session_in_the_list(autojump_clock, session):
    listen(session)
    await trio.sleep(0.01)
    shown = told(session_state(session))
    assert shown.pop("created_at").endswith("Z")
    assert shown.pop("last_accessed").endswith("Z")
    assert shown == {
        "session_code": "abc",
        "dataset": "named",
        "is_private": False,
        "active_connections": 1,
        "is_running": True,
        "is_paused": False,
        "is_stopped": False,
        "is_playing": True,
        "waiting_for": None,
        "current_packet": 1,
        "total_packets": 400,
        "position_seconds": 0.025,
        "bin_size_ms": 25.0,
        "speed": 1,
        "frequency_hz": 40,
        "filtered": [],
        "perturbation": None,
        "perturbation_id": None,
        "seed": 0,
    }
    session.stop()
    shown = told(session_state(session))
    assert (shown["is_running"], shown["is_stopped"], shown["current_packet"]) == (False, True, 0)


async def test_what_is_done_to_packets_is_shown(autojump_clock, session):
    clean = {"perturbation": None, "perturbation_id": None, "seed": 0}
    assert perturbation_of(session) == clean
    packet_id = session.set_perturbation(PRESETS["light"], 11)
    shown = told(perturbation_changed(session, packet_id))
    assert shown["status"] == "perturbed"
    assert shown["perturbation"] == PRESETS["light"].as_json()
    assert shown["seed"] == 11
    assert re.fullmatch(r"[0-9a-f]{12}", shown["perturbation_id"])
    sink = listen(session)
    await trio.sleep(0.1)
    assert {packet.perturbation_id for packet in sink.packets} == {shown["perturbation_id"]}
    for view in (
        told(session_state(session)),
        told(session_created(session, created=True, base_url="ws://x")),
    ):
        assert view.items() >= {k: v for k, v in shown.items() if k in clean}.items()
    assert told(perturbation_changed(session, session.set_perturbation(NO_PERTURBATION))) == {
        "status": "clean",
        "packet_id": len(sink.packets),
        "session_code": "abc",
        **clean,
        "seed": 11,
    }


async def test_faults_that_are_meant_are_counted_and_take_their_time(autojump_clock, session):
    loss = {"transforms": [{"kind": "packet_loss", "probability": 0.5}]}
    session.set_perturbation(parse_perturbation(loss))
    sink = await play(session, 10)
    stats = told(stats_of(session))
    lost = sink.sequence[-1] + 1 - 10
    assert lost > 0
    assert stats["injected"] == {"lost": lost, "duplicated": 0, "reordered": 0, "delayed": 0}
    assert (stats["packets_sent"], stats["elapsed_seconds"]) == (10, (10 + lost) / 40)


async def test_lateness_is_in_milliseconds(autojump_clock, session):
    for late_ns in (1_000_000, 3_000_000):
        session.main.timing.lateness.record(late_ns)
        session.counters.latency(WEBSOCKET).record(late_ns // 10)
    error = told(stats_of(session))["timing_error_ms"]
    assert (error["mean"], error["std"], error["max"]) == (2.0, 1.0, 3.0)
    latency = told(session_metrics(session, 1.0))["network_latency_ms"]
    assert (latency["mean"], latency["std"], latency["max"]) == (0.2, 0.1, 0.3)


async def test_totals_and_metrics_add_up(autojump_clock, session):
    await play(session, 4)
    idle = Tally(listeners=0, packets=5, dropped=2, stalls=1, overruns=3)
    sums = told(totals([tally(session), idle], max_sessions=10))
    assert sums.pop("memory_usage_mb") > 10
    assert sums == {
        "total_sessions": 2,
        "active_sessions": 1,
        "active_connections": 1,
        "max_sessions": 10,
        "packets_sent": 9,
        "dropped_packets": 2,
        "stalls": 1,
        "overruns": 3,
    }
    one = told(session_metrics(session, 12.5))
    assert (one["packets_sent"], one["connections"], one["memory_usage_mb"]) == (4, 1, 12.5)
    assert (one["is_running"], one["is_paused"]) == (True, True)


async def test_a_trial_without_times_is_json():
    table = TrialTable((make_trial(0, float("nan"), 2.0),))
    (trial,) = (trial.as_json() for trial in table)
    assert json.loads(json.dumps(trial, allow_nan=False))["start_time"] is None
