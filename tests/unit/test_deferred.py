"""What is loaded when it is first asked for."""

import subprocess
import sys
import threading

import pytest
import trio
import trio.testing

from phantomlink.errors import UnavailableError
from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.table import FIRST, RouteTable
from phantomlink.scheduling.deferred import Deferred, OnDemand


class Part:
    """Runs until cancelled."""

    def __init__(self):
        self.made_in = threading.current_thread()
        self.runs = False

    async def run(self, task_status=trio.TASK_STATUS_IGNORED):
        await trio.lowlevel.checkpoint()
        self.runs = True
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self.runs = False


async def test_it_is_loaded_once_in_a_thread():
    threads = []
    deferred = Deferred(lambda: threads.append(threading.current_thread()) or "it")
    assert [await deferred.get(), await deferred.get()] == ["it", "it"]
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread()


async def test_a_part_is_made_and_runs_when_it_is_first_asked_for():
    made = []

    def load():
        made.append(Part())
        return made[0]

    part = OnDemand(load)
    async with trio.open_nursery() as nursery:
        await nursery.start(part.run)
        await trio.testing.wait_all_tasks_blocked()
        assert made == []
        async with trio.open_nursery() as asking:
            for _ in range(3):
                asking.start_soon(part.get)
        assert await part.get() is made[0]
        assert (len(made), made[0].runs) == (1, True)
        assert made[0].made_in is not threading.current_thread()
        nursery.cancel_scope.cancel()
    assert not made[0].runs


async def test_who_gives_up_asking_has_started_nothing_and_the_next_one_does():
    part = OnDemand(Part)
    async with trio.open_nursery() as nursery:
        await nursery.start(part.run)
        with trio.CancelScope() as scope:
            scope.cancel()
            await part.get()
        assert scope.cancelled_caught
        assert (await part.get()).runs
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), ImportError("no such")])
async def test_what_cannot_be_loaded_is_tried_again_and_costs_the_server_nothing(error):
    errors = [error]

    def load():
        if errors:
            raise errors.pop()
        return Part()

    part = OnDemand(load)
    async with trio.open_nursery() as nursery:
        await nursery.start(part.run)
        with pytest.raises(UnavailableError, match=f"cannot be loaded: .*{error.args[-1]}"):
            await part.get()
        assert (await part.get()).runs
        nursery.cancel_scope.cancel()


async def test_before_the_server_runs_nothing_can_be_asked_for():
    with pytest.raises(UnavailableError, match="is starting"):
        await OnDemand(Part).get()


def test_no_path_of_the_first_routes_has_a_method_elsewhere():
    first = RouteTable(FIRST)
    for route in ROUTES:
        path = route.path.replace("{", "").replace("}", "")
        routes = [each for each, _ in first.match(path).routes.values()]
        assert not routes or route in FIRST, path


async def test_other_routes_are_loaded_when_one_of_them_is_asked_for():
    loaded = []

    def load_all():
        loaded.append(threading.current_thread())
        return ROUTES

    table = RouteTable(FIRST, load_all)
    assert (await table.find("/health")).methods == ("GET", "HEAD", "OPTIONS")
    assert loaded == []
    assert not table.match("/api/stats").routes
    assert (await table.find("/api/stats")).methods == ("GET", "HEAD", "OPTIONS")
    assert not (await table.find("/api/nope")).routes
    assert len(loaded) == 1
    assert loaded[0] is not threading.current_thread()


# What serving loads without being asked: 197 modules when this was written. One more here and there
# is no harm; a room that comes in by an import at the top of a module is.
MOST_MODULES = 210
NOT_BEFORE_THEY_ARE_ASKED_FOR = (
    "calibration",
    "captures.records",
    "cluster",
    "decoding",
    "evaluation.truth",
    "outputs.capture",
    "outputs.decoders.scores",
    "outputs.redis",
    "outputs.view.feed",
    "perturbation.perturber",
    "perturbation.presets",
    "recordings.nwb",
    "rest.all_routes",
    "rest.openapi",
    "scoring",
    "state",
)
LIBRARIES = ("coredis", "h5py", "prometheus_client", "psutil", "werkzeug", "webbrowser")


@pytest.mark.parametrize("entry", ["phantomlink.server.serve", "phantomlink.app"])
def test_what_an_entry_loads(entry):
    code = f"import sys, phantomlink.cli.run, {entry}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {f"phantomlink.{name}" for name in NOT_BEFORE_THEY_ARE_ASKED_FOR}
    if entry == "phantomlink.server.serve":
        assert not loaded & set(LIBRARIES)
    ours = [name for name in loaded if name.startswith("phantomlink")]
    assert len(ours) <= MOST_MODULES, sorted(ours)
