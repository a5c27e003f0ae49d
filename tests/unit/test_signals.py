"""The ends of a process that must not depend on its event loop; each in a process of its own."""

import signal
import subprocess
import sys

import pytest

HANGS = """
import sys, time, trio, trio.testing
from phantomlink.server.signals import StopSignals, watch_grace

async def announce():
    await trio.testing.wait_all_tasks_blocked()
    print("running", flush=True)

async def main():
    async with trio.open_nursery() as nursery:
        # A read from a disk that does not answer: it cannot be cancelled.
        nursery.start_soon(trio.to_thread.run_sync, time.sleep, 60)
        nursery.start_soon(announce)
        signals = StopSignals(lambda: print("cleaned up", flush=True))
        await nursery.start(signals.watch)
        signals.has_started = True
        await signals.told.wait()
        print("told", flush=True)
        watch_grace(GRACE, lambda: print("gave up", flush=True), signals.clean_up)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def start(grace):
    process = subprocess.Popen(
        [sys.executable, "-c", HANGS.replace("GRACE", str(grace))],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "running\n"
    return process


def test_what_hangs_ends_with_the_grace_period_and_exit_code_0():
    with start(0.5) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout.read() == "told\ngave up\ncleaned up\n"


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_what_hangs_ends_at_once_by_a_second_signal(first, second):
    with start(60) as process:
        process.send_signal(first)
        assert process.stdout.readline() == "told\n"
        process.send_signal(second)
        assert process.wait(20) == 128 + second
        assert process.stdout.read() == "cleaned up\n"
