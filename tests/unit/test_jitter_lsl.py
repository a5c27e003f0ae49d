"""The LSL side of the benchmark: who listens to what; samples are counted by their timestamps."""

import os
import time
from array import array
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.lsl_rig import rig
from tools.bench.harness.arrivals import arrivals
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
    address = {"host": "127.0.0.1", "port": 1}  # noqa: RUF012
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
    return who.Load(replace(SCENARIOS["lsl"], **changes), [], tmp_path, 0)


def test_samples_are_counted_by_their_timestamps():
    stamps = array("d", [100.0, 100.025, 100.0500001, 100.125, 100.15])
    assert list(numbers(stamps, 40.0)) == [0, 1, 2, 5, 6]
    assert list(numbers(array("d"), 40.0)) == []


def test_over_lsl_every_outlet_of_the_session_has_an_inlet(tmp_path, synthetic_recording):
    with StartedServer(synthetic_recording, Fraction(40), 1, tmp_path, lsl=True) as server:
        plan = who.STARTS["phantomlink-lsl"](server, a_load(tmp_path)).plan(0)
        assert len({plan.address["source_id"], *plan.address["beside"]}) == len(KINDS)
        with Child(plan.module, plan.address, plan.env) as receiver:
            assert receiver.read(30)["first_packet_ns"], "it finds them, and a sample came"


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


def test_the_receiver_writes_what_came(tmp_path):
    env = write_configuration(tmp_path / "lsl_api.cfg", f"jitter-test-{os.getpid()}")
    config = {
        "source_id": "jit-neural-a",
        "beside": ["jit-kinematics-a", "jit-markers-a"],
        "numbered": False,
        "rate_hz": "40",
    }
    with (
        rig(env, code="a", prefix="jit", drop_neural=[12]),
        Child("jitter.lsl_receiver", config, env) as receiver,
    ):
        assert receiver.read(20)["first_packet_ns"]
        told = receiver.ask({"end_ns": time.monotonic_ns() + int(0.8e9)}, 20)
    (found,) = arrivals(told, wall_clock=False)
    assert len(found.sequence) > 15
    assert np.all(np.diff(found.arrival_ns) > 0)
    assert sorted(set(np.diff(found.sequence))) == [1, 2]
    assert np.allclose(np.diff(found.stamp_ns), np.diff(found.sequence) * 25e6, atol=1e3)
    assert told["closed"] == [None]
    assert told["cpu_seconds"] > 0
