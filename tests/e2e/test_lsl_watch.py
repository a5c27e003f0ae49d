"""`phantomlink lsl-watch` as a person runs it, on outlets that pylsl alone has made."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests import commands
from tests.commands import finish
from tests.lsl_rig import rig
from tests.waiting import until
from tools.bench.harness.lsl_configuration import write_configuration

# What a busy machine may break is not ours to judge here.
OF_THE_MACHINE = {"the rate is the nominal rate", "samples keep coming"}
LOST = "no sample was lost"
SAME = "the streams have the same timestamps"
SECONDS = "2.4"
# A server that is not there answers at once.
NOWHERE = ("--url", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return write_configuration(
        tmp_path_factory.mktemp("lsl") / "lsl_api.cfg", f"lsl-watch-{os.getpid()}"
    )


def start(env, *arguments):
    return commands.start("lsl-watch", *arguments, "--source-id", "rig", *NOWHERE, env=env)


RIGS = {
    "good": {},
    "text": {},
    "lossy": {"drop": [30], "drop_neural": [40, 41]},
    "rest": {"rest_after": 40, "rest_periods": 7.4},
    "bare": {"described": False, "kinds": ["neural", "markers"]},
    "short": {"end_after": 50},
}


@pytest.fixture(scope="module")
def outcomes(env):
    """Every rig watched, all at once."""
    watchings, rigs = {}, {}
    try:
        for code, config in RIGS.items():
            rigs[code] = rig(env, code=code, prefix="rig", **config)
            rigs[code].__enter__()
        for code in RIGS:
            form = () if code == "text" else ("--json",)
            watchings[code] = start(env, code, "--seconds", SECONDS, *form)
        yield {code: finish(process) for code, process in watchings.items()}
    finally:
        for process in watchings.values():
            process.kill()
            process.communicate()
        for each in rigs.values():
            each.__exit__(None, None, None)


def result_of(outcomes, code):
    """The JSON, and which checks failed, but for those that are the machine's."""
    returncode, out, err = outcomes[code]
    assert out.count("\n") == 1, out + err
    result = json.loads(out)
    names = {check["name"] for check in result["checks"] if not check["passed"]}
    assert result["passed"] is not bool(names)
    assert returncode == (1 if names else 0)
    return result, names - OF_THE_MACHINE


def test_good_streams_pass(outcomes):
    result, failed = result_of(outcomes, "good")
    assert failed == set()
    assert list(result["streams"]) == ["neural", "kinematics", "intention", "markers"]
    neural = result["streams"]["neural"]
    assert neural["name"] == "PhantomLink-Neural-good"
    assert [channel["label"] for channel in neural["channels"]] == [
        "101",
        "102",
        "103",
        "104",
        "105",
    ]
    assert neural["desc"]["recording"] == {"name": "made-up"}
    assert neural["samples"] > 40
    stamps = result["stamps"]["neural"]
    assert stamps["stamped_rate_hz"] == pytest.approx(40.0, rel=1e-6)
    assert stamps["steps"]["missing"] == stamps["steps"]["backwards"] == 0
    assert 0 < stamps["latency"]["p50"] < 1000
    assert abs(result["clock_offset_ms"]) < 50
    assert result["markers"][0]["marker"] == "trial_start 0"
    assert result["server"] is None
    assert any("no packet id" in line for line in result["unknown"])


def test_what_a_person_reads(outcomes):
    _, out, err = outcomes["text"]
    assert err == ""
    assert re.search(r"^PhantomLink-Neural-text +EEG +5 +int32 +40 Hz", out, re.M)
    assert re.search(r"^PhantomLink-Markers-text +Markers +1 +string +irregular", out, re.M)
    assert re.search(r"^kinematics +vx, vy, x, y \(mm/s, mm\)", out, re.M)
    assert re.search(r"^interval error +p50 \d", out, re.M)
    assert re.search(r"^clock offset +[+-]\d", out, re.M)
    assert re.search(r"^pass +no sample was lost", out, re.M)
    assert "The server could not be asked" in out


def test_losses_are_found(outcomes):
    result, failed = result_of(outcomes, "lossy")
    assert failed == {LOST, SAME}
    assert result["stamps"]["neural"]["steps"]["missing"] == 3
    assert result["stamps"]["kinematics"]["steps"]["missing"] == 1
    assert result["missing_beside"] == {"neural": 2, "kinematics": 0, "intention": 0}


def test_a_rest_is_no_loss(outcomes):
    result, failed = result_of(outcomes, "rest")
    assert failed == set()
    steps = result["stamps"]["neural"]["steps"]
    assert (steps["missing"], steps["off_grid"], steps["holds"]) == (0, 1, 1)


def test_what_is_missing_is_named(outcomes):
    result, failed = result_of(outcomes, "bare")
    assert failed == {"all streams are there", "they are described as they should be"}
    details = {check["name"]: check["detail"] for check in result["checks"]}
    assert details["all streams are there"] == "not found: kinematics, intention"
    assert (
        "neural: 5 channels, 0 of them described" in details["they are described as they should be"]
    )


def test_an_end_is_seen_at_once(outcomes):
    result, failed = result_of(outcomes, "short")
    assert failed == {"they are there to the end"}
    # What was pushed in the last moment goes with the outlet.
    assert 45 <= result["streams"]["neural"]["samples"] <= 50


def test_no_stream_is_said_with_its_cures(env):
    process = start(env, "nobody", "--timeout", "0.3")
    returncode, out, err = finish(process)
    assert returncode == 2
    assert out == ""
    first, *cures = err.splitlines()
    assert "source id rig-neural-nobody was found in 0.3 s" in first
    assert "no server answers at http://127.0.0.1:9" in first
    assert all(line.startswith("  - ") for line in cures)
    for word in ("SessionID", env["LSLAPICFG"], "firewall", "PortRange", "KnownPeers", "lsl_scope"):
        assert word in err


def test_streams_of_another_lsl_session_are_not_found(env, tmp_path):
    other = write_configuration(tmp_path / "lsl_api.cfg", f"other-{os.getpid()}")
    with rig(other, code="elsewhere", prefix="rig"):
        returncode, _, err = finish(start(env, "elsewhere", "--timeout", "1"))
        assert returncode == 2
        assert "though other streams" not in err
        returncode, _, err = finish(start(other, "elsewhere", "--timeout", "5", "--seconds", "0.5"))
        assert returncode in (0, 1)


def test_no_stream_as_json(env):
    returncode, out, _ = finish(start(env, "nobody", "--timeout", "0.3", "--json"))
    assert returncode == 2
    result = json.loads(out)
    assert result["passed"] is False
    assert len(result["cures"]) > 4


@pytest.mark.parametrize("when", ["searching", "receiving"])
def test_ctrl_c_ends_it_quietly(env, when):
    with rig(env, code="long", prefix="rig"):
        code = "nobody" if when == "searching" else "long"
        process = start(env, code, "--seconds", "30", "--timeout", "30")
        if when == "searching":
            maps = Path(f"/proc/{process.pid}/maps")
            until(lambda: "liblsl" in maps.read_text())
            time.sleep(0.5)
        else:
            # The streams are listed as soon as they are found.
            process.stdout.readline()
            time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        returncode, out, err = finish(process)
    assert err == ""
    if when == "searching":
        assert returncode == 130
    else:
        assert "interrupted: this is what was seen until then" in out
        assert returncode in (0, 1)
