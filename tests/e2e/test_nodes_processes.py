"""Several nodes of several processes each: who has a session is found through both stages."""

import http.client
import json
import os
import signal
from contextlib import ExitStack, closing

import psutil

from tests.clients import listening, receive
from tests.e2e.test_processes import workers_of
from tests.mirror_viewers import MIRROR_ENV, VIEWERS, are_mirrored, plays, viewers
from tests.nodes import LONG_LEASE_SECONDS, NOISE, SEED, nodes
from tests.stream_again import are_right, back
from tests.waiting import until

N_PROCESSES = 2
ENV = {"PHANTOM_PROCESSES": str(N_PROCESSES)}


def make(server, *codes):
    answers = [server.create(code, perturbation=NOISE, seed=SEED) for code in codes]
    # Once its file's digest is known, others may go on with it.
    until(lambda: server.get("/api/metadata")[1]["sha256"], "the digest")
    return answers


def kill_process(server, name):
    """Kill the process of this name, `a/0`, of a node in which none has ended before."""
    workers = sorted(workers_of(server), key=psutil.Process.create_time)
    os.kill(workers[int(name.partition("/")[2])].pid, signal.SIGKILL)


def listed(server):
    status, answer = server.get("/api/sessions")
    return set(answer["sessions"]) if status == 200 else set()


def having(server, prefix):
    """The one process of a node that has, or mirrors, something."""
    (name,) = [name for name, its in plays(server).items() if name.startswith(prefix) and any(its)]
    return name


def test_processes_of_all_nodes_are_one_server_also_when_one_of_them_or_a_node_dies(
    synthetic_recording, valkey, oracle
):
    of_a, of_b = ["c0", "c1", "c2"], ["d0", "d1", "d2"]
    codes = {*of_a, *of_b}
    with nodes(synthetic_recording, "a", "b", valkey=valkey, n_more=N_PROCESSES, env=ENV) as (a, b):
        assert [each["stream_url"] for each in make(a, *of_a)] == [
            f"{a.ws}/stream/{code}" for code in of_a
        ]
        make(b, *of_b)
        for server in (a, b):
            until(lambda server=server: listed(server) == codes, "the list of all")
            assert sorted(n for n, _ in plays(server).values()) == [1, 1, 2, 2]
            # One connection for all of them: it goes from process to process, and to the nodes.
            with closing(http.client.HTTPConnection(server.address, timeout=60)) as connection:
                for code in sorted(codes, reverse=True):
                    connection.request("GET", f"/api/sessions/{code}")
                    answer = connection.getresponse()
                    assert (answer.status, json.loads(answer.read())["session_code"]) == (200, code)
        with ExitStack() as stack:
            own = [stack.enter_context(listening(f"{b.ws}/stream/{code}")) for code in of_b]
            passed = [stack.enter_context(listening(f"{b.ws}/stream/{code}")) for code in of_a]
            until(lambda: all(len(got.packets) > 20 for got in own + passed), "packets")
            # A process of the other node: its sibling has what it had.
            kill_process(a, "a/0")
            until(lambda: any(got.close_code for got in passed), "the end of a stream")
            again = [back(f"{b.ws}/stream/{code}", 20) for code in of_a]
            until(lambda: listed(b) == codes, "the list of all")
            for old, new in zip(passed, again, strict=True):
                assert old.close_code is None or new.sequence[0] > old.sequence[-1]
            assert {got.metadata["session"]["url"] for got in again} == {
                f"{a.ws}/stream/{code}" for code in of_a
            }
            os.killpg(a.process.pid, signal.SIGKILL)
            until(lambda: sum(n for n, _ in plays(b).values()) == len(codes), "the heir")
            until(lambda: listed(b) == codes, "the list of all")
            # Its two processes have as many.
            assert {name: n for name, (n, _) in plays(b).items()} == {"b/0": 3, "b/1": 3}
            heirs = [receive(f"{b.ws}/stream/{code}", 20) for code in of_a]
            for old, new in zip(again, heirs, strict=True):
                assert new.sequence[0] > old.sequence[-1]
                assert new.metadata["session"]["url"].startswith(b.ws)
        assert all(are_right(oracle, got) for got in own + passed + again + heirs)
        assert [got.close_code for got in own] == [None] * len(of_b)
        assert "Traceback" not in a.log + b.log


def test_a_mirror_goes_on_whichever_process_of_its_node_or_of_its_owner_dies(
    synthetic_recording, valkey, oracle
):
    with ExitStack() as stack:
        a, b = stack.enter_context(
            nodes(
                synthetic_recording,
                *("a", "b"),
                valkey=valkey,
                lease_seconds=LONG_LEASE_SECONDS,
                n_more=N_PROCESSES,
                env=ENV | MIRROR_ENV,
            )
        )
        make(a, "s")
        found = stack.enter_context(viewers(*[f"{b.ws}/stream/s"] * VIEWERS))
        until(lambda: are_mirrored(found, b), "the mirror")
        until(lambda: sorted(plays(b).values()) == [(0, 0), (0, 0), (0, 1), (1, 0)], "the list")

        def has_packets_after(n):
            return all(len(v.packets) > k + 20 for v, k in zip(found, n, strict=True))

        def go_on(url):
            until(lambda: are_mirrored(found, url), "the mirror")
            n = [len(each.packets) for each in found]
            until(lambda: has_packets_after(n), "packets")

        kill_process(a, having(a, "a/"))
        go_on(b)
        until(lambda: b.post("/api/control/s/pause")[0] == 200, "a pause")
        until(lambda: b.post("/api/control/s/resume")[0] == 200, "its end")
        go_on(b)
        kill_process(b, having(b, "b/"))
        go_on(b)
        until(lambda: b.post("/api/control/s/pause")[0] == 200, "a pause")
        until(lambda: b.post("/api/control/s/resume")[0] == 200, "its end")
        go_on(b)
        os.killpg(a.process.pid, signal.SIGKILL)
        until(lambda: sum(n for n, _ in plays(b).values()) == 1, "the heir")
        go_on(b)
        for each in found:
            assert all(oracle.is_right(packet) for _, packet in each.packets)
        assert "Traceback" not in a.log + b.log
