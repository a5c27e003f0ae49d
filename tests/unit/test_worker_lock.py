"""One worker of a server holds the lock; the next one is told why it cannot serve."""

import multiprocessing
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from phantomlink.asgi.worker_lock import WorkerLock
from phantomlink.errors import SettingsError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def hold(folder: str, parent_pid: int | None, answers, leave) -> None:
    tempfile.tempdir = folder
    try:
        with WorkerLock(parent_pid):
            answers.put("serves")
            leave.wait(30)
    except SettingsError as error:
        answers.put(str(error))


def test_the_second_of_two_workers_is_refused_and_a_later_one_is_not(folder):
    context = multiprocessing.get_context("spawn")
    answers, leave = context.Queue(), context.Event()
    # As under hypercorn: workers find their parent, us, by themselves.
    workers = [
        context.Process(target=hold, args=(str(folder), None, answers, leave)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    said = {answers.get(timeout=30) for _ in workers}
    assert len(said) == 2
    assert "serves" in said
    assert (said - {"serves"}).pop().startswith("workers: got more than one")
    leave.set()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    assert list(folder.iterdir()) == []
    with WorkerLock(os.getpid()):
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


def test_a_worker_that_was_killed_leaves_no_lock(folder):
    context = multiprocessing.get_context("spawn")
    answers, leave = context.Queue(), context.Event()
    worker = context.Process(target=hold, args=(str(folder), None, answers, leave))
    worker.start()
    assert answers.get(timeout=30) == "serves"
    worker.kill()
    worker.join(30)
    with WorkerLock(os.getpid()):
        pass


def test_the_next_server_removes_what_killed_workers_have_left(folder):
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = f"phantomlink-{os.getuid()}-workers-of-{{}}.lock"
    abandoned = [folder / name.format(pid) for pid in (gone.pid, 10**30)]
    kept = [folder / name.format(pid) for pid in (os.getppid(), "nobody")]
    for path in abandoned + kept:
        path.touch()
    # A link, whoever has laid it, is left alone.
    (link := folder / name.format(10**31)).symlink_to(aim := folder / "aim")
    with WorkerLock(os.getpid()):
        assert {*folder.iterdir()} == {*kept, link, folder / name.format(os.getpid())}
    assert not aim.exists()


def test_a_worker_that_has_outlived_its_parent_keeps_its_lock(folder):
    gone = subprocess.Popen(["true"])
    gone.wait()
    with WorkerLock(gone.pid):
        (lock,) = folder.iterdir()
        with WorkerLock(os.getpid()):
            assert lock in folder.iterdir()


def test_workers_of_other_servers_do_not_matter(folder):
    with WorkerLock(1001), WorkerLock(1002):
        assert len(list(folder.iterdir())) == 2


def test_a_process_that_is_nobodys_worker_takes_no_lock(folder):
    with WorkerLock(), WorkerLock():
        assert list(folder.iterdir()) == []


def test_a_link_in_the_way_is_not_followed(folder):
    aim = folder / "aim"
    with WorkerLock(1003):
        (lock,) = folder.iterdir()
    Path(lock).symlink_to(aim)
    with pytest.raises(SettingsError, match="cannot be locked"), WorkerLock(1003):
        pass
    assert not aim.exists()
