import os
import re
import subprocess
import sys

import pytest

CODE = """
import sys
from phantomlink.scheduling.os_tuning import tune_system
for tuning in tune_system(realtime={realtime}, cpus={cpus}):
    print(tuning.name, "|", tuning.state, "|", tuning.detail)
print(sys.getswitchinterval())
"""

REALTIME = {"time slice", "SCHED_FIFO", "mlockall"}


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
    assert {states[name][0] for name in REALTIME | {"CPU affinity"}} == {"off"}


def test_what_is_asked_is_reported_as_it_went():
    states, _ = tuned(realtime=True, cpus="frozenset({0})")
    for name in REALTIME:
        assert states[name][0] in {"done", "not permitted", "not available"}
    if sys.platform == "linux":
        assert states["CPU affinity"] == ("done", "0")
        assert states["timer slack"] == ("done", "1 ns")


SLICES = """
import sys, threading
from phantomlink.scheduling import os_tuning
def not_permitted():
    raise PermissionError(1, "as for most users")
os_tuning._fifo = not_permitted
def slice_ms():
    try:
        lines = open(f"/proc/self/task/{threading.get_native_id()}/sched").readlines()
    except FileNotFoundError:
        lines = []
    found = [int(line.split(":")[1]) / 1e6 for line in lines if line.startswith("se.slice")]
    return found[0] if found else "unknown"  # not every kernel shows them
before = slice_ms()
state, = (t for t in os_tuning.tune_system(realtime=True, cpus=None) if t.name == "time slice")
after, in_thread = slice_ms(), []
thread = threading.Thread(target=lambda: in_thread.append(slice_ms()))
thread.start()
thread.join()
print(before, after, in_thread[0], state.state, state.detail)
"""


def test_this_thread_has_a_shorter_slice_and_those_it_starts_have_not():
    out = subprocess.run([sys.executable, "-c", SLICES], capture_output=True, text=True, check=True)
    before, after, in_thread, state, detail = out.stdout.strip().split(" ", 4)
    assert state in {"done", "not available"}
    if before == "unknown":
        assert after == in_thread == "unknown"
    elif state == "done":
        assert float(after) == float(before) / 2
        assert detail == f"{after} ms"
        assert in_thread == before
    else:
        assert before == after == in_thread


ARENAS = """
import ctypes, sys, threading
from phantomlink.scheduling.os_tuning import tune_memory
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
if sys.argv[1] == "tuned":
    assert [(tuning.name, tuning.state) for tuning in tune_memory()] == [
        ("malloc arenas", "done"), ("mmap threshold", "done")
    ]
# Threads that have all been given memory at the same time, as those of reading and of REST are.
n, barrier = 6, threading.Barrier(6)
def work():
    libc.malloc(100_000)
    barrier.wait()
threads = [threading.Thread(target=work) for _ in range(n)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


GLIBC = sys.platform == "linux" and "glibc" in (os.confstr("CS_GNU_LIBC_VERSION") or "")


@pytest.mark.skipif(not GLIBC, reason="only this C library has arenas: there is nothing to limit")
@pytest.mark.parametrize("how", ["tuned", "as it comes"])
def test_threads_share_one_arena(how):
    said = subprocess.run(
        [sys.executable, "-c", ARENAS, how], capture_output=True, text=True, check=True
    ).stdout
    assert (said.count("<heap nr=") == 1) == (how == "tuned")


LARGE = """
import ctypes, sys
from phantomlink.scheduling.os_tuning import tune_memory
libc = ctypes.CDLL(None)
libc.fopen.restype = libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "tuned":
    tune_memory()
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.free(ctypes.c_void_p(libc.malloc(4_000_000)))
libc.malloc_info(0, out)
libc.malloc(3_000_000)
libc.malloc_info(0, out)
libc.fclose(out)
"""


@pytest.mark.skipif(not GLIBC, reason="only this C library keeps what was large: nothing to limit")
@pytest.mark.parametrize("how", ["tuned", "as it comes"])
def test_what_is_large_is_the_systems_own_however_large_others_were(how):
    said = subprocess.run(
        [sys.executable, "-c", LARGE, how], capture_output=True, text=True, check=True
    ).stdout
    before, after = map(int, re.findall(r'<total type="mmap" count="(\d+)"', said))
    assert (after == before + 1) == (how == "tuned")
