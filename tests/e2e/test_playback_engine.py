"""A script has what a client of the server has, packet by packet."""

import hashlib

import pytest
import trio

from phantomlink.playback_engine import PlaybackEngine
from phantomlink.wire.canonical import canonical_payload
from tests.clients import receive

N = 120
# Counts of every kind of unit, a step within the first seconds, and no fault of transport.
SCRIPT = {
    "name": "made up",
    "steps": [
        {"at_seconds": 0, "transforms": [{"kind": "gaussian_noise", "noise_std": 0.7}]},
        {
            "at_seconds": 1.5,
            "transforms": [
                {"kind": "unit_swap", "fraction": 0.5},
                {"kind": "dropout", "fraction": 0.3, "mean_seconds": 0.2},
                {"kind": "drift", "drift_amplitude": 0.6, "drift_period_seconds": 3},
            ],
        },
    ],
}


def data_in_script(recording, n=N, **arguments):
    async def play():
        async with PlaybackEngine(recording, speed=None, **arguments) as engine:
            found = []
            async for packet in engine:
                found.append(packet.data())
                if len(found) == n:
                    break
            return found

    return trio.run(play)


def without_time(packets):
    return [{k: v for k, v in packet.items() if k != "timestamp"} for packet in packets]


@pytest.mark.parametrize(
    ("code", "perturbation", "seed", "wanted"),
    [
        ("script-clean", None, 0, {}),
        ("script-extreme", "extreme", 5, {}),
        ("script-steps", SCRIPT, 2**63 - 1, {"trial_id": 3}),
    ],
)
def test_the_packets_of_a_script_are_those_of_the_server(
    maze_server, maze_recording, code, perturbation, seed, wanted
):
    body = {"custom_code": code, "seed": seed, "speed": 10}
    if perturbation is not None:
        body["perturbation"] = perturbation
    status, _ = maze_server.post("/api/sessions/create", body)
    assert status == 200
    query = "&".join(f"{name}={value}" for name, value in wanted.items())
    received = receive(f"{maze_server.ws}/stream/binary/{code}?{query}", N)
    in_script = data_in_script(
        maze_recording, perturbation=perturbation, seed=seed, loop=True, **wanted
    )
    assert len(received.packets) == len(in_script) == N
    assert without_time(received.packets) == without_time(in_script)

    digest = hashlib.sha256()
    whole = data_in_script(maze_recording, None, perturbation=perturbation, seed=seed, **wanted)
    for data in whole:
        digest.update(canonical_payload(data))
    status, said = maze_server.get(f"/api/sessions/{code}/digest?{query}")
    assert status == 200
    assert (said["num_packets"], said["sha256"]) == (len(whole), digest.hexdigest())
