"""Whatever a single connection sends, it alone ends: the corpus against every entry."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import psutil
import pytest

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import listening, receive
from tests.e2e.hostile import Case, corpus, get, play, status_of
from tests.servers import ENTRIES, LiveServer, live_server
from tests.waiting import until

CORPUS = corpus()
# Of a machine that others use, too; what leaks, leaks with every round and never comes back.
SETTLING_SECONDS = 60


@pytest.fixture(scope="module", params=ENTRIES)
def server(request, tmp_path_factory) -> Iterator[LiveServer]:
    path = tmp_path_factory.mktemp("hostile") / "named.nwb"
    synthesize_named(path, units=4, seconds=5.0)
    with live_server(path, entry=request.param, env={"PHANTOM_MAX_CONNECTIONS": "100"}) as server:
        yield server


def serving_process(server: LiveServer) -> psutil.Process:
    """hypercorn serves from a child."""
    process = psutil.Process(server.process.pid)
    workers = [c for c in process.children() if any("spawn_main" in a for a in c.cmdline())]
    return workers[0] if workers else process


def settled(server: LiveServer, process: psutil.Process) -> dict[str, int]:
    """What the server holds when its clients have gone and its sessions are deleted."""
    until(lambda: server.get("/health")[1]["active_connections"] == 0, seconds=SETTLING_SECONDS)
    for code in server.get("/api/sessions")[1]["sessions"]:
        server.request("DELETE", f"/api/sessions/{code}")
    # Beside the one that asks; those kept for a next request are closed after a while.
    until(lambda: n_connections(process) <= 1, seconds=SETTLING_SECONDS)
    return {"threads": process.num_threads(), "descriptors": process.num_fds()}


def n_connections(process: psutil.Process) -> int:
    return len([c for c in process.net_connections("tcp") if c.status != psutil.CONN_LISTEN])


def play_all(server: LiveServer) -> dict[str, bytes]:
    with ThreadPoolExecutor(8) as pool:
        calls = {name: pool.submit(play, server.address, case) for name, case in CORPUS.items()}
        return {name: call.result() for name, call in calls.items()}


def dribble(address: str) -> float:
    """Send a head a byte at a time, until the server has had enough; how long that took."""
    host, port = address.split(":")
    started = time.monotonic()
    with closing(socket.create_connection((host, int(port)), timeout=10)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        with suppress(ConnectionError):
            while (elapsed := time.monotonic() - started) < 60:
                connection.sendall(b"x")
                time.sleep(0.2)
    return elapsed


@pytest.mark.slow
def test_the_corpus_hurts_nobody_and_leaves_nothing_behind(server):
    process = serving_process(server)
    play_all(server)  # what is made once, is made
    before = settled(server, process)
    started = time.monotonic()
    with listening(f"{server.ws}/stream/victim") as victim, ThreadPoolExecutor(50) as pool:
        slow = [pool.submit(dribble, server.address) for _ in range(50)]
        answers = play_all(server)
        assert max(call.result() for call in slow) < 60
    elapsed = time.monotonic() - started
    assert process.is_running()
    assert server.process.poll() is None, server.log
    assert victim.close_code is None
    assert not victim.gaps
    # Half: the tests beside this one take the CPU too.
    assert len(victim.packets) > 40 * elapsed * 0.5
    wrong = {
        name: status_of(answers[name])
        for name, case in CORPUS.items()
        if case.statuses is not None and status_of(answers[name]) not in case.statuses
    }
    assert not wrong
    assert not [name for name, answer in answers.items() if b"root:" in answer]
    assert not [name for name, answer in answers.items() if b"\r\nSet-Cookie" in answer]
    assert not [name for name, answer in answers.items() if (status_of(answer) or 0) in {500}]
    settled(server, process)
    until(lambda: process.num_fds() <= before["descriptors"], seconds=SETTLING_SECONDS)
    # A thread of the pool that has nothing to do ends by itself, some seconds later.
    until(lambda: process.num_threads() <= before["threads"], seconds=SETTLING_SECONDS)
    if "phantomlink" in server.process.args:  # hypercorn shows its own failures at length
        assert "Traceback" not in server.log, server.log


def test_requests_that_cannot_be_answered_do_not_keep_their_connection(server):
    process = serving_process(server)
    play(server.address, CORPUS["an answer of some size that nobody reads"])
    descriptors = settled(server, process)["descriptors"]
    for _ in range(4):
        play(server.address, CORPUS["an answer of some size that nobody reads"])
    # The one that asks how many connections there are may have been counted.
    until(lambda: process.num_fds() <= descriptors, seconds=SETTLING_SECONDS)


def test_a_smuggled_request_is_not_carried_out(server):
    """Each shape hides the deletion of a session that somebody needs."""
    names = [name for name in CORPUS if b"/api/sessions/hidden" in b"".join(CORPUS[name].chunks)]
    assert len(names) > 10
    # A second request, and nobody is led to think otherwise; folded lines are unfolded, as RFC
    # 9112 (5.2) has it.
    openly = {"a body behind a GET", "a folded header"}
    for name in sorted(set(names) - openly):
        server.post("/api/sessions/create", {"custom_code": "hidden"})
        play(server.address, CORPUS[name])
        assert server.get("/api/sessions/hidden")[0] == 200, name
    play(server.address, Case((get("/api/sessions/hidden", method="DELETE"),)))
    assert server.get("/api/sessions/hidden")[0] == 404


def test_the_server_serves_as_before(server):
    play_all(server)
    got = receive(f"{server.ws}/stream/after", 20)
    assert got.sequence == list(range(20))
    assert server.get("/health")[1]["status"] == "healthy"
    if server.process.args[2] != "hypercorn":
        assert server.terminate() == 0
    else:
        server.terminate()
