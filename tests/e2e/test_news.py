"""What changes a stream is told before the first packet of which it is true, on every entry."""

import time
from contextlib import ExitStack

import pytest

from phantomlink.recordings.synthetic import synthesize_named
from tests.clients import decode, listening
from tests.servers import ALL_ENTRIES, live_server
from tests.waiting import until

RATE_HZ = 300
N_CLIENTS = 4
N_CHANGES = 8


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    path = tmp_path_factory.mktemp("news") / "named.nwb"
    synthesize_named(path, units=40, seconds=10.0)
    return path


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_no_packet_comes_before_the_metadata_that_tell_of_it(named, entry):
    env = {
        "PHANTOM_STREAM_FREQUENCY_HZ": str(RATE_HZ),
        # Where the machine is busy too, the queue is full and the oldest go.
        "PHANTOM_CLIENT_QUEUE_SECONDS": "0.1",
        "PHANTOM_CLIENT_BEHIND_SECONDS": "60",
    }
    with live_server(named, entry=entry, env=env) as server:
        with ExitStack() as stack:
            clients = [
                stack.enter_context(listening(f"{server.ws}/stream/a")) for _ in range(N_CLIENTS)
            ]
            for n in range(N_CHANGES):
                seen = [len(client.raw) for client in clients]
                if n % 2:
                    server.request("DELETE", "/api/sessions/a/perturbation")
                else:
                    body = {"perturbation": "light", "seed": n}
                    assert server.request("PUT", "/api/sessions/a/perturbation", body)[0] == 200
                until(
                    lambda seen=seen: all(
                        len(client.raw) > before + 20
                        for client, before in zip(clients, seen, strict=True)
                    ),
                )
            time.sleep(0.2)
        for client in clients:
            is_perturbed, told = client.metadata["data"]["perturbation"] is not None, 0
            for message in map(decode, client.raw):
                if message["type"] == "metadata":
                    is_perturbed = message["data"]["perturbation"] is not None
                    told += 1
                else:
                    assert ("perturbation_id" in message["data"]) == is_perturbed
            assert told == N_CHANGES
