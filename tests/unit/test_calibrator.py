"""Fits that are too long, too large, or die: each is an answer, and the next fit begins."""

import os
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import psutil
import pytest
import trio

from phantomlink.calibration.calibrator import FIT_SECONDS, Calibration, Calibrator
from phantomlink.calibration.store import ModelStore
from phantomlink.calibration.worker import MEMORY_BYTES
from phantomlink.errors import TooManyRequestsError
from phantomlink.files.slots import LocalSlots

WANTED = Calibration(Path("any.nwb"), Fraction(40), {}, "ridge", None, 0, "all", "trials")
LONG = "import time; time.sleep(1e6)"
DEAD = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
SILENT = "raise SystemExit(3)"
# The true worker, with its true bound of memory, whose fit asks for twice of that.
LARGE = f"""
import sys
from phantomlink.calibration import worker
from phantomlink.evaluation import arguments
def add_fit(commands):
    fit = commands.add_parser("fit", prefix_chars="+")
    fit.add_argument("anything", nargs="*")
    fit.set_defaults(run=lambda _: len(bytearray({2 * MEMORY_BYTES})))
arguments.add_fit = add_fit
sys.exit(worker.main())
"""


async def fitted(calibrator):
    """The model, once it is no longer being fitted."""
    model_id = calibrator.start(WANTED)
    with pytest.raises(TooManyRequestsError):
        calibrator.start(WANTED)
    while calibrator.store.get(model_id).state == "fitting":  # noqa: ASYNC110
        await trio.sleep(0.01)
    return calibrator.store.get(model_id)


@pytest.mark.parametrize(
    ("program", "longest_seconds", "reason"),
    [
        (LONG, 0.2, "it took longer than 0.2 s"),
        (DEAD, FIT_SECONDS, "the process that fitted it was ended by signal 9"),
        (SILENT, FIT_SECONDS, "it says nothing"),
        pytest.param(
            *(LARGE, FIT_SECONDS, "takes more than 1024 MiB"),
            marks=pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory"),
        ),
    ],
    ids=["too long", "dies", "silent", "too large"],
)
async def test_a_fit_that_fails_says_why_and_makes_room(tmp_path, program, longest_seconds, reason):
    calibrator = Calibrator(
        ModelStore(tmp_path / "models"),
        lambda: (),
        LocalSlots(1),
        worker=(sys.executable, "-c", program),
        longest_seconds=longest_seconds,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(calibrator.run)
        for _ in range(2):
            stored = await fitted(calibrator)
            assert (stored.state, stored.reason, stored.model) == ("failed", reason, None)
        nursery.cancel_scope.cancel()
    commands = [child.cmdline() for child in psutil.Process().children()]
    assert not [command for command in commands if program in command], "it goes on"
    assert not list(tmp_path.rglob("*.npz"))


async def test_packets_have_the_cpu_before_a_fit_as_long_as_it_runs(tmp_path):
    events = []
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set()

    @contextmanager
    def keep_cpu():
        events.append("kept")
        yield
        events.append("given again")

    calibrator = Calibrator(
        ModelStore(tmp_path / "models"),
        lambda: (),
        LocalSlots(1),
        worker=(sys.executable, "-c", LONG),
        longest_seconds=5,
        keep_cpu=keep_cpu,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(calibrator.run)
        model_id = calibrator.start(WANTED)
        while not any(LONG in child.cmdline() for child in psutil.Process().children()):
            await trio.sleep(0.005)
            assert calibrator.store.get(model_id).state == "fitting"
        assert events == ["kept"]
        (fit,) = [each for each in psutil.Process().children() if LONG in each.cmdline()]
        while fit.nice() != 19:
            await trio.sleep(0.005)
            assert calibrator.store.get(model_id).state == "fitting"
        if sys.platform == "linux" and len(allowed) > 1:
            assert os.sched_getaffinity(fit.pid) == allowed - os.sched_getaffinity(0)
        while calibrator.store.get(model_id).state == "fitting":  # noqa: ASYNC110
            await trio.sleep(0.01)
        assert events == ["kept", "given again"]
        nursery.cancel_scope.cancel()


def test_a_fit_may_take_a_minute_and_a_gibibyte():
    assert (FIT_SECONDS, MEMORY_BYTES) == (60, 2**30)
