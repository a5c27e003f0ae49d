"""What lsl-watch makes of descriptions, timestamps and the server's word. No LSL is needed."""

import sys

import numpy as np
import pytest

from phantomlink.errors import InvalidParameterError
from phantomlink.watch.figures import Arrivals, measure
from phantomlink.watch.lsl import streams
from phantomlink.watch.lsl.checks import Seen, ServerCount, judge
from phantomlink.watch.lsl.command import parse_lsl_target, run_lsl_watch
from phantomlink.watch.lsl.facts import Channel, StreamFacts, parse_facts, problems
from phantomlink.watch.lsl.figures import measure_stamps, missing_beside, steps_of
from phantomlink.watch.lsl.names import OUTLETS
from phantomlink.watch.lsl.server import Position, count_sent
from phantomlink.watch.lsl.streams import CannotWatchLslError, configuration, load_pylsl

PERIOD = 0.025
XML = """<?xml version="1.0"?>
<info>
  <name>PhantomLink-Neural-a</name><type>EEG</type><channel_count>2</channel_count>
  <channel_format>int32</channel_format><source_id>phantomlink-neural-a</source_id>
  <nominal_srate>40.00000000000000</nominal_srate><version>1.1</version>
  <uid>u-1</uid><session_id>lab</session_id><hostname>rig</hostname>
  <desc>
    <channels>
      <channel><label>101</label><unit>count</unit><type>EEG</type></channel>
      <channel><label>102</label><unit>count</unit><type>EEG</type></channel>
    </channels>
    <recording><name>maze</name><sha256>ab</sha256></recording>
    <lag_seconds>0.0125</lag_seconds>
  </desc>
</info>"""
NEURAL, KINEMATICS, MARKERS = OUTLETS["neural"], OUTLETS["kinematics"], OUTLETS["markers"]


def facts_of(kind, *, channels=None, **changes):
    form = OUTLETS[kind]
    labels = form.labels or ("101", "102")
    if channels is None:
        channels = tuple(Channel(label, "count", "t") for label in labels)
    usual = {
        "name": f"PhantomLink-{kind}",
        "type": form.type or "EEG",
        "n_channels": len(labels) if form.is_regular else 1,
        "format": form.formats[0],
        "nominal_rate_hz": 40.0 if form.is_regular else 0.0,
        "source_id": f"phantomlink-{kind}-a",
        "hostname": "rig",
        "session_id": "",
        "uid": kind,
        "channels": channels if form.is_regular else (),
        "desc": {},
    }
    return StreamFacts(**(usual | changes))


def grid(n, start=100.0, without=()):
    kept = [k for k in range(n) if k not in without]
    return start + np.array(kept) * PERIOD


# --- descriptions


def test_a_description_is_read():
    facts = parse_facts(XML)
    assert (facts.name, facts.type, facts.n_channels) == ("PhantomLink-Neural-a", "EEG", 2)
    assert (facts.format, facts.nominal_rate_hz) == ("int32", 40.0)
    assert (facts.source_id, facts.hostname, facts.session_id) == (
        "phantomlink-neural-a",
        "rig",
        "lab",
    )
    assert facts.channels == (Channel("101", "count", "EEG"), Channel("102", "count", "EEG"))
    assert facts.desc == {"recording": {"name": "maze", "sha256": "ab"}, "lag_seconds": "0.0125"}
    assert problems(facts, NEURAL) == []


@pytest.mark.parametrize("xml", ["", "<info>", "<info><name>a</name></info>"])
def test_what_is_no_description_is_refused(xml):
    with pytest.raises(ValueError, match="description of a stream"):
        parse_facts(xml)


@pytest.mark.parametrize(
    ("kind", "changes", "problem"),
    [
        ("neural", {"format": "double64"}, "format double64, not int32 or float32"),
        ("neural", {"n_channels": 3}, "3 channels, 2 of them described"),
        ("neural", {"channels": (Channel("1", "", "t"),) * 2}, "channels with the same label"),
        ("neural", {"channels": (Channel("1", "", ""), Channel("2", "", "t"))}, "without a type"),
        ("neural", {"channels": (Channel("", "", "t"), Channel("2", "", "t"))}, "without a label"),
        ("neural", {"nominal_rate_hz": 0.0}, "nominal rate 0"),
        ("kinematics", {"type": "Mocap"}, "type 'Mocap', not 'Kinematics'"),
        (
            "kinematics",
            {"channels": tuple(Channel(each, "mm", "t") for each in ("x", "y", "vx", "vy"))},
            "channels x, y, vx, vy, not vx, vy, x, y",
        ),
        ("markers", {"nominal_rate_hz": 40.0}, "nominal rate 40"),
        ("markers", {"format": "int32"}, "format int32, not string"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(kind, changes, problem):
    assert problems(facts_of(kind), OUTLETS[kind]) == []
    (found,) = problems(facts_of(kind, **changes), OUTLETS[kind])
    assert problem in found


def test_the_type_of_the_neural_stream_is_a_setting():
    assert problems(facts_of("neural", type="Spikes"), NEURAL) == []


# --- timestamps


def test_a_grid_has_no_gap():
    steps = steps_of(grid(5), PERIOD)
    assert (steps.on_grid, steps.gaps, steps.missing, steps.off_grid) == (4, 0, 0, 0)


def test_whole_periods_that_are_left_out_are_missing():
    steps = steps_of(grid(10, without=(3, 6, 7)), PERIOD)
    assert (steps.gaps, steps.missing, steps.off_grid) == (2, 3, 0)


def test_a_new_grid_is_no_loss():
    stamps = np.concatenate([grid(4), grid(4, start=101.011)])
    steps = steps_of(stamps, PERIOD)
    assert (steps.missing, steps.off_grid, steps.holds, steps.backwards) == (0, 1, 1, 0)
    assert steps.longest_seconds == pytest.approx(0.936)


def test_stamps_that_go_back_are_counted():
    steps = steps_of(np.array([1.0, 1.025, 1.025, 1.0]), PERIOD)
    assert (steps.backwards, steps.on_grid) == (2, 1)


def test_no_stamp_and_one_stamp_say_nothing():
    for n in (0, 1):
        assert steps_of(grid(n), PERIOD).on_grid == 0
        figures = measure_stamps(grid(n), grid(n), 40.0, 0.0)
        assert figures.stamped_rate_hz is figures.interval_errors is None


def test_latency_is_in_the_clock_of_the_receiver():
    stamps = grid(101)
    received = stamps + 7.0 + 0.001
    received[50] += 0.004
    figures = measure_stamps(stamps, received, 40.0, 7.0)
    assert figures.stamped_rate_hz == pytest.approx(40.0)
    assert figures.latency.p50 == pytest.approx(1.0)
    assert figures.latency.max == pytest.approx(5.0)
    assert figures.interval_errors.p50 == pytest.approx(0.0, abs=1e-6)
    assert figures.interval_errors.max == pytest.approx(4.0)


def test_an_interval_across_a_gap_is_no_jitter():
    stamps = grid(10, without=(5,))
    assert measure_stamps(stamps, stamps, 40.0, 0.0).interval_errors.max < 1e-6


def test_what_another_stream_has_is_missing_here():
    streams = {
        "neural": grid(40, without=(20,)),
        "kinematics": grid(40, without=(20, 30)) + 3e-7,
        "intention": grid(40, without=(10,)),
    }
    assert missing_beside(streams, PERIOD) == {"neural": 1, "kinematics": 2, "intention": 1}


def test_streams_opened_and_left_at_other_times_lack_nothing():
    streams = {"neural": grid(40)[3:], "kinematics": grid(40)[:-3], "intention": grid(40)}
    assert set(missing_beside(streams, PERIOD).values()) == {0}
    assert missing_beside({"neural": grid(4), "kinematics": grid(0)}, PERIOD) == {
        "neural": 0,
        "kinematics": 0,
    }


# --- the server's word


def position(at, sequence_number, packet_id=None):
    packet_id = sequence_number % 50 if packet_id is None else packet_id
    return Position(at - 0.002, at, sequence_number, packet_id, 50)


def counted(before, after, stamps, delay=0.001):
    return count_sent(before, after, stamps, stamps + delay)


def test_what_was_sent_and_what_came():
    # The questions lie between samples 4 and 5, and between 34 and 35.
    before, after = position(100.115, 105), position(100.865, 135)
    count = counted(before, after, grid(40))
    assert (count.sent, count.received, count.uncertain, count.lost) == (30, 30, 0, 0)
    assert (count.first_packet_id, count.next_packet_id, count.follows) == (5, 35, True)
    fewer = counted(before, after, grid(40, without=(10, 11)))
    assert (fewer.received, fewer.lost) == (28, 2)


@pytest.mark.parametrize(("sent", "lost"), [(30, 0), (31, 0), (32, 1)])
def test_a_packet_that_was_due_during_the_question_is_on_neither_side(sent, lost):
    before = Position(100.095, 100.105, 105, 5, 50)
    count = counted(before, position(100.865, 105 + sent), grid(40))
    assert (count.received, count.uncertain, count.lost) == (30, 1, lost)


def test_a_packet_that_was_under_way_is_on_neither_side_either():
    # Due before the question, come after it.
    count = counted(Position(100.104, 100.106, 105, 5, 50), position(100.865, 135), grid(40), 0.005)
    assert (count.received, count.uncertain) == (30, 1)


def test_a_seek_shows_in_the_position():
    count = counted(position(100.115, 105), position(100.865, 135, packet_id=3), grid(40))
    assert not count.follows
    assert count.lost == 0


def test_no_answer_and_another_playback_say_nothing():
    assert counted(None, position(101.0, 1), grid(4)) is None
    assert counted(position(100.0, 5), position(101.0, 1), grid(4)) is None


# --- checks


def seen(stamps=None, *, kinds=tuple(OUTLETS), server=None, ended=(), negative=0):
    stamps = grid(400) if stamps is None else stamps
    arrivals = Arrivals(
        opened_ns=int(100e9), ended_ns=int((stamps[-1] if len(stamps) else 101) * 1e9)
    )
    for stamp in stamps:
        arrivals.packet(int(stamp * 1e9), 8)
    figures = measure_stamps(stamps, stamps, 40.0, 0.0)
    regular = [kind for kind in kinds if OUTLETS[kind].is_regular]
    beside = dict.fromkeys(regular, stamps)
    if "kinematics" in beside:
        beside["kinematics"] = grid(400)
    return Seen(
        facts={kind: facts_of(kind) for kind in kinds},
        figures=measure(arrivals, gaps=figures.steps.gaps, lost=figures.steps.missing),
        stamps=dict.fromkeys(regular, figures),
        missing_beside=missing_beside(beside, PERIOD),
        negative_counts=negative,
        server=server,
        ended=ended,
    )


def failed(of):
    return {check.name for check in judge(of) if not check.passed}


LOST = "no sample was lost"


def test_all_is_well():
    assert failed(seen()) == set()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"kinds": ("neural", "markers")}, {"all streams are there"}),
        ({"stamps": grid(400, without=(50,))}, {LOST, "the streams have the same timestamps"}),
        ({"negative": 1}, {"counts are whole numbers from 0"}),
        ({"ended": ("neural",)}, {"they are there to the end"}),
        ({"server": ServerCount(400, 398, 1, 0, 400, True)}, {LOST}),
        ({"server": ServerCount(400, 398, 2, 0, 400, True)}, set()),
        ({"stamps": 100 + (grid(400) - 100) * 1.02}, {"the rate is the nominal rate"}),
    ],
)
def test_what_is_not_kept_fails_alone(changes, expected):
    found = failed(seen(**changes))
    if "stamps" in changes and expected == {"the rate is the nominal rate"}:
        # Another rate has other timestamps too.
        found -= {"the streams have the same timestamps"}
    assert found == expected


def test_the_server_tells_a_pause_from_a_loss():
    paused = grid(400, without=(50, 51))
    assert LOST in failed(seen(paused))
    assert LOST not in failed(seen(paused, server=ServerCount(390, 390, 0, 0, 390, True)))
    assert LOST in failed(seen(paused, server=ServerCount(390, 390, 1, 0, 390, True)))


def test_silence_fails():
    found = failed(seen(grid(0), kinds=("neural",)))
    assert {LOST, "samples keep coming", "the rate is the nominal rate"} <= found


# --- arguments and a machine without LSL


def test_a_code_a_stream_and_a_server_are_understood():
    target = parse_lsl_target("a-1", "rig", "http://10.0.0.5:9000")
    assert (target.code, target.prefix, target.api_url) == ("a-1", "rig", "http://10.0.0.5:9000")
    of_stream = parse_lsl_target("ws://10.0.0.5:9000/stream/b", "rig", None)
    assert (of_stream.code, of_stream.api_url) == ("b", "http://10.0.0.5:9000")


@pytest.mark.parametrize(
    ("code", "prefix"),
    [
        ("a b", "rig"),
        ("http://10.0.0.5:9000", "rig"),
        ("ws://10.0.0.5:9000/stream/b?trial_id=1", "rig"),
        ("a", "it's"),
        ("a", ""),
    ],
)
def test_what_has_no_streams_is_refused(code, prefix):
    with pytest.raises(InvalidParameterError):
        parse_lsl_target(code, prefix, None)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_is_above_zero(seconds):
    with pytest.raises(InvalidParameterError, match="--seconds"):
        run_lsl_watch("a", seconds=seconds, timeout=1.0, prefix="rig")
    with pytest.raises(InvalidParameterError, match="--timeout"):
        run_lsl_watch("a", seconds=1.0, timeout=seconds, prefix="rig")


def test_without_liblsl_one_line_says_what_to_do(monkeypatch, capsys, tmp_path):
    (tmp_path / "pylsl.py").write_text('raise RuntimeError("no liblsl here\\nmore of it")\n')
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CannotWatchLslError, match=r"not available: no liblsl here; .*PYLSL_LIB"):
        load_pylsl()
    assert run_lsl_watch("a", seconds=1.0, timeout=1.0, prefix="rig") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "PYLSL_LIB" in err


@pytest.mark.parametrize("own", [None, "variable", "file"])
def test_a_configuration_of_a_persons_own_counts(own, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LSLAPICFG", raising=False)
    monkeypatch.setattr(streams, "_CONFIGURATIONS", ("lsl_api.cfg",))
    (tmp_path / "pylsl.py").write_text("told = []\nset_config_content = told.append\n")
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    if own == "variable":
        monkeypatch.setenv("LSLAPICFG", "/lab/lsl_api.cfg")
    elif own == "file":
        (tmp_path / "lsl_api.cfg").write_text("")
    try:
        told = load_pylsl().told
    finally:
        sys.modules.pop("pylsl")
    if own is None:
        assert configuration() is None
        assert "PortRange = 256" in told[0]
    else:
        assert configuration() == {"variable": "/lab/lsl_api.cfg", "file": "lsl_api.cfg"}[own]
        assert told == []
