"""The CPU that packets are sent from: who stays on it, and who keeps off it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from phantomlink.scheduling.background import put_behind_all, put_behind_packets
from phantomlink.scheduling.own_cpu import own_cpu
from phantomlink.scheduling.worker_thread import run_in_thread

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="takes Linux and two CPUs",
)


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def cpus_of(process=0):
    return os.sched_getaffinity(process)


def test_the_thread_stays_on_one_cpu_and_is_free_again_afterwards():
    allowed = cpus_of()
    with own_cpu():
        assert len(cpus_of()) == 1
    assert cpus_of() == allowed


def test_a_process_that_nobody_waits_for_runs_on_the_others(child):
    allowed = cpus_of()
    with own_cpu():
        put_behind_all(child.pid)
        assert cpus_of(child.pid) == allowed - cpus_of()


def test_it_runs_on_all_while_no_cpu_is_kept(child):
    put_behind_all(child.pid)
    assert cpus_of(child.pid) == cpus_of()


def test_a_process_that_somebody_waits_for_is_not_left_on_the_kept_cpu():
    allowed = cpus_of()
    with (
        own_cpu(),
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child,
    ):
        assert cpus_of(child.pid) == cpus_of(), "a child is where its parent is"
        put_behind_packets(child.pid)
        assert cpus_of(child.pid) == allowed
        child.stdin.close()


async def test_threads_that_are_started_meanwhile_run_on_all():
    allowed = cpus_of()
    with own_cpu():
        seen = [await run_in_thread(cpus_of) for _ in range(3)]
    assert seen == [allowed] * 3


def test_one_within_another_changes_nothing():
    allowed = cpus_of()
    with own_cpu():
        kept = cpus_of()
        with own_cpu():
            assert cpus_of() == kept
        assert cpus_of() == kept
    assert cpus_of() == allowed


def test_a_thread_with_one_cpu_keeps_what_it_has(child):
    def on_one():
        only = {min(cpus_of())}
        os.sched_setaffinity(0, only)
        with own_cpu():
            put_behind_all(child.pid)
            seen.append((cpus_of() == only, len(cpus_of(child.pid)) > 1))

    seen: list[tuple[bool, bool]] = []
    thread = threading.Thread(target=on_one)
    thread.start()
    thread.join()
    assert seen == [(True, True)]
