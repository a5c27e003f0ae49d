"""A server that is stopped and goes on: clients that read in time are not blamed for it."""

import json
import os
import signal
import time
from contextlib import ExitStack

import pytest
from websockets.sync.client import connect

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import decode, listening
from tests.servers import ALL_ENTRIES, live_server
from tests.waiting import until

N_CLIENTS = 20
STOPPED_SECONDS = 1.3


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    path = tmp_path_factory.mktemp("stalls") / "named.nwb"
    synthesize_named(path, units=20, seconds=10.0)
    return path


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_nobody_is_closed_for_a_stall_of_the_server(named, entry):
    env = {"PHANTOM_CLIENT_BEHIND_SECONDS": "1", "PHANTOM_STREAM_FREQUENCY_HZ": "40"}
    with live_server(named, entry=entry, env=env) as server, ExitStack() as stack:
        clients = [
            stack.enter_context(listening(f"{server.ws}/stream/a")) for _ in range(N_CLIENTS)
        ]
        until(lambda: all(client.packets for client in clients))
        for _ in range(2):
            os.killpg(server.process.pid, signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            os.killpg(server.process.pid, signal.SIGCONT)
            before = [len(client.packets) for client in clients]
            until(
                lambda before=before: all(
                    len(client.packets) > n + 10 or client.close_code
                    for client, n in zip(clients, before, strict=True)
                ),
            )
        assert [client.close_code for client in clients] == [None] * N_CLIENTS
        stats = server.get("/api/stats/a")[1]
        assert stats["slow_clients_closed"] == 0
        assert stats["stalls"] >= 2


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_answers_that_waited_at_a_stall_of_the_server_are_scored(named, entry):
    """They are late, which is told; packets are closed only when those had their chance."""
    with (
        live_server(named, entry=entry) as server,
        connect(f"{server.ws}/stream/a?format=json") as websocket,
    ):
        packets = []
        while len(packets) < 60:
            message = decode(websocket.recv(timeout=60))
            if message["type"] == "data":
                packets.append(message["data"])
            if len(packets) == 1:
                # From now on there is a scoreboard, which closes packets.
                websocket.send(answer_to(packets[0]))
        waiting = packets[-30:]
        os.killpg(server.process.pid, signal.SIGSTOP)
        for packet in waiting:
            websocket.send(answer_to(packet))
        time.sleep(3)
        os.killpg(server.process.pid, signal.SIGCONT)
        asked = lambda: server.get("/api/sessions/a/decoders")[1]["decoders"][0]  # noqa: E731
        # With the one before the stall.
        until(lambda: asked()["answered"] + asked()["unknown"] > len(waiting))
        assert asked()["unknown"] == 0
        # The last one may have come before the next packet left: the kernel's time stamp tells.
        assert asked()["late"] >= len(waiting) - 1


def answer_to(packet):
    answer = {"packet_id": packet["packet_id"], "vx": 0.0, "vy": 0.0}
    return json.dumps({"type": "prediction", "data": answer})
