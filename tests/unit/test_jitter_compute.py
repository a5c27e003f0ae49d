"""The programs that compute beside a run are there, compute, and end with it."""

import os
import time

import psutil

from tools._bench.compute import Computing


def children() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process(os.getpid()).children()
        if "_bench.compute" in " ".join(process.cmdline())
    ]


def test_so_many_compute_until_they_are_stopped() -> None:
    computing = Computing(2)
    try:
        started = children()
        assert len(started) == 2
        end = time.monotonic() + 30
        while min(sum(process.cpu_times()[:2]) for process in started) < 0.2:
            assert time.monotonic() < end, "they do not compute"
            time.sleep(0.05)
    finally:
        computing.stop()
    assert children() == []


def test_none_are_started_for_a_scenario_without() -> None:
    Computing(0).stop()
    assert children() == []
