"""`phantomlink serve --processes 2`: LSL outlets and BRAND streams of a session that moves."""

import os
import signal

import psutil
import pytest

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.e2e.test_brand import entries, index
from tests.e2e.test_processes import workers_of
from tests.lsl_inlet import inlets
from tests.nodes import valkey_at
from tests.servers import live_server
from tests.waiting import until
from tools.bench.harness.lsl_configuration import write_configuration

SOURCE = "phantomlink-neural-moved"


@pytest.fixture(scope="module")
def lsl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lsl")
    return write_configuration(folder / "lsl_api.cfg", f"moved-{os.getpid()}")


def killed(server, code):
    """Kill the process that has a session, and no other; answers when another has it."""

    def owner():
        # Its own figures name the process; the workers were started in the order of their names.
        nodes = {n["name"]: n["sessions"] for n in server.get("/api/nodes")[1]["nodes"]}
        return next((name for name, n_sessions in nodes.items() if n_sessions), None)

    before = until(owner, "an owner")
    workers = sorted(workers_of(server), key=psutil.Process.create_time)
    os.kill(workers[int(before)].pid, signal.SIGKILL)
    until(lambda: owner() not in {None, before}, "an heir")


def test_outputs_of_a_session_go_on_once_at_the_heir(tmp_path, lsl):
    layout = synthesize_named(tmp_path / "named.nwb", units=10, seconds=30)
    with valkey_at(tmp_path / "valkey") as redis:
        env = {
            "PHANTOM_PROCESSES": "2",
            "PHANTOM_LSL_ENABLED": "true",
            "PHANTOM_BRAND_URL": f"redis://127.0.0.1:{redis.port}",
        }
        with live_server(tmp_path / "named.nwb", env=lsl | env) as server:
            keys = server.create("moved", brand=True)["brand"]["streams"]
            until(lambda: len(entries(redis, keys["neural"])) > 20, "entries")
            killed(server, "moved")
            n_before = len(entries(redis, keys["neural"]))
            until(lambda: len(entries(redis, keys["neural"])) > n_before + 20, "entries")
            told = server.get("/api/sessions/moved")[1]
            assert told["brand"]["is_available"]
            with inlets(lsl, SOURCE) as it:
                n = len(entries(redis, keys["neural"]))
                until(lambda: len(entries(redis, keys["neural"])) > n + 60, "entries")
            # `finish` of the block has read what came.
            bins = [layout.bin_of(row) for row in it.streams[SOURCE].values]
            sent = [index(entry[b"i"]) for entry in entries(redis, keys["neural"])]
    assert bins == [(bins[0] + n) % layout.n_bins for n in range(len(bins))]
    assert len(bins) > 20
    assert sent == sorted(set(sent))
