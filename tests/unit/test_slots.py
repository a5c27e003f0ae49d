"""How many there may be at once, in one process and in several."""

import subprocess
import sys
from contextlib import contextmanager

from phantomlink.cluster.worker_slots import slots_file, slots_of
from phantomlink.files.slots import LocalSlots

OTHER = """
import sys
from phantomlink.cluster.worker_slots import slots_of
print(slots_of(int(sys.argv[1]), "captures", 3).use(int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


@contextmanager
def other_process(descriptor, n):
    """Another process that has, or could not have, so many of three; it ends when left."""
    command = [sys.executable, "-c", OTHER, str(descriptor), str(n)]
    with subprocess.Popen(
        command,
        pass_fds=[descriptor],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process, process.stdout.readline().strip() == "True"
        process.kill()


def test_one_process_has_as_many_as_there_are():
    slots = LocalSlots(2)
    assert [slots.use(n) for n in (1, 2, 3, 0)] == [True, True, False, True]


def test_several_processes_have_as_many_together_also_when_one_dies():
    with slots_file() as descriptor:
        slots = slots_of(descriptor, "captures", 3)
        assert slots.use(1)
        with other_process(descriptor, 3) as (_, has):
            assert not has
        with other_process(descriptor, 2) as (process, has):
            assert has
            assert not slots.use(2)
            # What it has it keeps.
            assert slots.use(1)
            assert slots.use(0)
            assert slots.use(1)
            process.kill()
            process.wait()
            assert slots.use(3)
            assert not slots.use(4)


def test_each_kind_has_its_own():
    with slots_file() as descriptor, other_process(descriptor, 3) as (_, has):
        assert has
        assert not slots_of(descriptor, "captures", 3).use(1)
        assert slots_of(descriptor, "fits", 1).use(1)
        assert slots_of(descriptor, "lsl", 8).use(8)


def test_none_at_all():
    with slots_file() as descriptor:
        assert not slots_of(descriptor, "lsl", 0).use(1)
        assert slots_of(descriptor, "lsl", 0).use(0)
