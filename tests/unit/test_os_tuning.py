import subprocess
import sys

import pytest

CODE = """
import sys
from phantomlink.engine.os_tuning import tune_system
for tuning in tune_system(realtime={realtime}, cpus={cpus}):
    print(tuning.name, "|", tuning.state, "|", tuning.detail)
print(sys.getswitchinterval())
"""


def tuned(**arguments):
    """In a process of its own: it is for the process."""
    out = subprocess.run(
        [sys.executable, "-c", CODE.format(**arguments)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    rows = [line.split(" | ") for line in out[:-1]]
    return {name: (state, detail) for name, state, detail in rows}, float(out[-1])


def test_off_by_default():
    states, switch_interval = tuned(realtime=False, cpus=None)
    assert switch_interval == pytest.approx(5e-4)
    assert states["switch interval"] == ("done", "0.5 ms")
    assert {states[name][0] for name in ("SCHED_FIFO", "mlockall", "CPU affinity")} == {"off"}


def test_what_is_asked_is_reported_as_it_went():
    states, _ = tuned(realtime=True, cpus="frozenset({0})")
    for name in ("SCHED_FIFO", "mlockall"):
        assert states[name][0] in {"done", "not permitted", "not available"}
    if sys.platform == "linux":
        assert states["CPU affinity"] == ("done", "0")
        assert states["timer slack"] == ("done", "1 ns")


def test_a_cpu_that_is_not_there_is_not_available():
    states, _ = tuned(realtime=False, cpus="frozenset({4000})")
    assert states["CPU affinity"][0] == "not available"
    assert states["CPU affinity"][1]
