"""The LSL side of the benchmark: who listens to what; samples are counted by their timestamps."""

import json
import os
import subprocess
import sys
import time
from array import array
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.lsl_rig import rig
from tools.bench.harness.children import Child, ChildError
from tools.bench.harness.lsl_configuration import write_configuration
from tools.bench.harness.server import StartedServer
from tools.bench.jitter import contestants as who
from tools.bench.jitter.lsl_receiver import numbers
from tools.bench.jitter.scenarios import SCENARIOS

KINDS = ("neural", "kinematics", "intention", "markers")


class FakeServer:
    """Its sessions have outlets, up to `cap` of them."""

    process = None
    host = "127.0.0.1"
    port = 1
    lsl_env = {"LSLAPICFG": "its.cfg"}  # noqa: RUF012

    def __init__(self, cap=8):
        self.cap = cap
        self.bodies = []

    def must(self, method, path, body=None):
        self.bodies.append(body)
        code = body["custom_code"]
        if body.get("lsl") is False or self.cap == 0:
            return {"session_code": code, "lsl": {"reason": "no room", "streams": []}}
        self.cap -= 1
        streams = [{"source_id": f"pl-{kind}-{code}"} for kind in KINDS]
        return {"session_code": code, "lsl": {"reason": None, "streams": streams}}


def a_load(tmp_path, **changes):
    usual = {
        "rate_hz": Fraction(40),
        "sessions": 1,
        "clients": 1,
        "packets": tmp_path / "none",
        "folder": tmp_path,
        "floor_margin_ns": 0,
        "seam": False,
        "slice_seconds": 1.0,
        "lsl": True,
    }
    return who.Load(**(usual | changes))


def test_samples_are_counted_by_their_timestamps():
    stamps = array("d", [100.0, 100.025, 100.0500001, 100.125, 100.15])
    assert list(numbers(stamps, 40.0)) == [0, 1, 2, 5, 6]
    assert list(numbers(array("d"), 40.0)) == []


def test_over_lsl_every_outlet_of_the_session_has_an_inlet(tmp_path):
    plan = who.STARTS["phantomlink-lsl"](FakeServer(), a_load(tmp_path)).plan(0)
    assert plan.module == "jitter.lsl_receiver"
    assert plan.address["source_id"].startswith("pl-neural-jitter-")
    assert [each.split("-")[1] for each in plan.address["beside"]] == list(KINDS[1:])
    assert plan.address["numbered"] is False
    assert plan.address["rate_hz"] == "40"
    assert plan.env == {"LSLAPICFG": "its.cfg"}


def test_without_streams_it_cannot_be_measured(tmp_path):
    contestant = who.STARTS["phantomlink-lsl"](FakeServer(cap=0), a_load(tmp_path))
    with pytest.raises(ChildError, match="no room"):
        contestant.plan(0)


def test_sessions_beside_inlets_have_outlets_and_the_others_none(tmp_path):
    server, load = FakeServer(), a_load(tmp_path, sessions=2)
    who.STARTS["phantomlink"](server, load).plan(0)
    assert [body["lsl"] for body in server.bodies] == [False, False]
    server.bodies.clear()
    beside = who.STARTS["phantomlink-beside-lsl"](server, load)
    plan = beside.plan(0)
    assert plan.module == "harness.receiver"
    assert all("lsl" not in body for body in server.bodies)
    assert len(beside.listening["beside"]) == 7


def test_without_lsl_nothing_is_asked_beforehand(tmp_path):
    server = FakeServer()
    who.STARTS["phantomlink"](server, a_load(tmp_path, lsl=False)).plan(0)
    assert server.bodies == []


def test_only_the_scenario_of_lsl_has_a_server_with_it():
    assert [name for name, scenario in SCENARIOS.items() if scenario.lsl] == ["lsl"]


@pytest.mark.parametrize("lsl", [False, True])
def test_the_server_is_started_with_lsl_or_without(lsl, tmp_path, monkeypatch):
    monkeypatch.setenv("PHANTOM_LSL_ENABLED", "maybe")
    started = {}

    class Process:
        pid = os.getpid()

        def __init__(self, command, env, stdout, **_):
            started.update(env)
            stdout.write(b"Listening on http://127.0.0.1:1 (\n")

        def poll(self):
            return None

    monkeypatch.setattr(subprocess, "Popen", Process)
    server = StartedServer(None, Fraction(40), 1, tmp_path, lsl=lsl)
    assert started["PHANTOM_LSL_ENABLED"] == str(lsl).lower()
    assert bool(server.lsl_env) is lsl
    if lsl:
        assert started["LSLAPICFG"] == server.lsl_env["LSLAPICFG"]
        assert "SessionID = jitter-" in Path(started["LSLAPICFG"]).read_text()


def test_the_receiver_writes_what_came(tmp_path):
    env = write_configuration(tmp_path / "lsl_api.cfg", f"jitter-test-{os.getpid()}")
    config = {
        "source_id": "jit-neural-a",
        "beside": ["jit-kinematics-a", "jit-markers-a"],
        "numbered": False,
        "rate_hz": "40",
    }
    with rig(env, code="a", prefix="jit", drop_neural=[12]):
        receiver = Child("jitter.lsl_receiver", config, env)
        try:
            assert receiver.read(20)["ready"]
            end_ns = time.monotonic_ns() + int(0.8e9)
            told = receiver.ask({"end_ns": end_ns, "out": str(tmp_path / "out.bin")}, 20)
        finally:
            receiver.stop()
    (n,) = told["rows"]
    assert n > 15
    columns = np.fromfile(tmp_path / "out.bin", dtype=np.int64).reshape(5, n)
    arrival_ns, _, sequence, _, stamp = columns
    assert np.all(np.diff(arrival_ns) > 0)
    assert sorted(set(np.diff(sequence))) == [1, 2]
    stamps = stamp.view(np.float64)
    assert np.allclose(np.diff(stamps), np.diff(sequence) * 0.025, atol=1e-6)
    assert json.dumps(told["closed"]) == "[null]"
    assert sys.float_info.min < told["cpu_seconds"]
