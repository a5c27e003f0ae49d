"""The programs that compute beside a run are there, compute, and end with it."""

import os

import psutil

from tests.waiting import until
from tools.bench.jitter.compute import computing


def children() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process(os.getpid()).children()
        if "jitter.compute" in process.cmdline()
    ]


def test_so_many_compute_until_they_are_stopped() -> None:
    with computing(2):
        started = children()
        assert len(started) == 2
        until(lambda: min(sum(p.cpu_times()[:2]) for p in started) >= 0.2, "computing", seconds=30)
    assert children() == []


def test_none_are_started_for_a_scenario_without() -> None:
    with computing(0):
        assert children() == []
