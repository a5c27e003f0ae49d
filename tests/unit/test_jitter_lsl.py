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


def a_load(tmp_path, **changes):
    return who.Load(replace(SCENARIOS["lsl"], **changes), [], tmp_path, 0)


def test_samples_are_counted_by_their_timestamps():
    stamps = array("d", [100.0, 100.025, 100.0500001, 100.125, 100.15])
    assert list(numbers(stamps, 40.0)) == [0, 1, 2, 5, 6]
    assert list(numbers(array("d"), 40.0)) == []


def test_sessions_beside_inlets_have_outlets_and_the_others_none(tmp_path, synthetic_recording):
    load = a_load(tmp_path, sessions=2)
    with StartedServer(synthetic_recording, Fraction(40), 5, tmp_path, lsl=True) as server:
        over_lsl, plain, beside = (
            who.STARTS[name](server, load)
            for name in ("phantomlink-lsl", "phantomlink", "phantomlink-beside-lsl")
        )
        plan = over_lsl.plan(0)
        assert len({plan.address["source_id"], *plan.address["beside"]}) == len(KINDS)
        with Child(plan.module, plan.address, plan.env) as receiver:
            assert receiver.read(30)["first_packet_ns"], "it finds them, and a sample came"
        assert plain.plan(0).module == beside.plan(0).module == "harness.receiver"
        assert len(beside.listening["beside"]) == 2 * len(KINDS) - 1
        over_lsl.codes = plain.codes
        with pytest.raises(ChildError, match="has no LSL streams"):
            over_lsl.inlets()


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
