"""Processes that compute for the server give way to packets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import trio

from phantomlink.scheduling import background
from phantomlink.scheduling.background import Behind, put_behind_all, put_behind_packets
from phantomlink.scheduling.time_slice import longest_time_slice


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def test_a_process_is_put_behind_packets(child):
    before = os.getpriority(os.PRIO_PROCESS, child.pid)
    put_behind_packets(child.pid)
    assert os.getpriority(os.PRIO_PROCESS, child.pid) >= max(before, 5)


def test_what_the_system_does_not_know_is_done_without(child, monkeypatch):
    def unknown(process):
        raise OSError("not known")

    monkeypatch.setattr(background, "longest_time_slice", unknown)
    monkeypatch.delattr(os, "setpriority")
    put_behind_packets(child.pid)


def test_a_process_that_has_gone_is_no_error(child):
    child.kill()
    child.wait()
    put_behind_packets(child.pid)
    with pytest.raises(OSError, match=r"."):
        longest_time_slice(child.pid)


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="a policy of Linux")
async def test_what_is_started_is_behind_all_as_soon_as_it_runs():
    seen = []

    def put(process):
        put_behind_all(process)
        seen.append((os.sched_getscheduler(process), os.getpriority(os.PRIO_PROCESS, process)))
        os.kill(process, signal.SIGKILL)

    command = [sys.executable, "-c", "import time; time.sleep(1e6)"]
    await trio.run_process(command, check=False, task_status=Behind(put))
    assert seen == [(os.SCHED_IDLE, 19)]
