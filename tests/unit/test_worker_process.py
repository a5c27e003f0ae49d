"""A worker that starts while others need the cores: at the lowest priority, and not for ever."""

import os
import sys
import threading

import pytest

from phantomlink.cluster import worker_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="several processes need Linux")


def test_what_is_imported_for_it_is_imported_at_idle_priority_and_the_rest_is_not(monkeypatch):
    seen = []
    monkeypatch.setattr(worker_process, "_import", lambda: seen.append(os.sched_getscheduler(0)))
    before = os.sched_getscheduler(0)
    assert worker_process.imported_gently(60)
    assert (seen, os.sched_getscheduler(0)) == ([os.SCHED_IDLE], before)


def test_where_it_never_gets_a_core_it_begins_again_without_waiting_for_one(monkeypatch):
    begun, goes_on = [], threading.Event()

    def begin_again(program, arguments):
        begun.append((program, arguments))
        raise SystemExit

    monkeypatch.setattr(worker_process, "_import", goes_on.wait)
    monkeypatch.setattr(worker_process, "GENTLE_SECONDS", 0.0)
    monkeypatch.setattr(worker_process.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker_process.os, "execv", begin_again)
    monkeypatch.setattr(sys, "argv", worker_process.command((5, 6), gently=True)[2:])
    try:
        with pytest.raises(SystemExit):
            worker_process.main()
    finally:
        goes_on.set()
    assert begun == [(sys.executable, worker_process.command((5, 6), gently=False))]
