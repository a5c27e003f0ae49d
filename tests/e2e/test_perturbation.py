"""Perturbations over REST and streams: what is promised of them, seen by independent clients."""

import hashlib
import json
import time
import urllib.request
from contextlib import ExitStack
from itertools import pairwise

import pytest

from phantomlink.perturbation.presets import PRESETS
from phantomlink.recordings.synthetic import synthesize_named
from phantomlink.wire.canonical import canonical_payload
from tests.clients import decode, listening, receive
from tests.servers import live_server
from tests.waiting import until

N_BINS = 100
# All kinds at once, with faults of the link that a client must see through.
ASKED = {
    "name": "everything",
    "steps": [
        {
            "at_seconds": 0.5,
            "transforms": [
                {"kind": "gaussian_noise", "noise_std": 1.0},
                {"kind": "drift", "drift_amplitude": 0.5, "drift_period_seconds": 2},
                {"kind": "dropout", "fraction": 0.3, "mean_seconds": 0.5},
                {"kind": "unit_swap", "fraction": 0.5, "at_seconds": 2},
            ],
        },
        {"at_seconds": 2.9, "transforms": [{"kind": "saturation", "max_count": 3}]},
    ],
}
LINK = [
    {"kind": "packet_duplicate", "probability": 0.1},
    {"kind": "packet_reorder", "probability": 0.1},
    {"kind": "jitter", "std_ms": 4},
]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """100 bins of 25 ms: 3 trials of 36 bins, and a rest that is in none."""
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    synthesize_named(path, units=8, seconds=N_BINS / 40)
    return path


@pytest.fixture(scope="module")
def server(recording):
    with live_server(recording, env={"PHANTOM_MAX_CONNECTIONS": "50"}) as server:
        yield server


def put(server, code, body):
    return server.request("PUT", f"/api/sessions/{code}/perturbation", body)


def digest_of(payloads):
    return hashlib.sha256(b"".join(payloads)).hexdigest()


def payloads_of(got):
    """Canonical payloads by loop and bin; the same packet says the same however often it comes."""
    payloads = {}
    for packet in got.packets:
        if "dataset" in packet:
            continue  # the metadata once more
        key = packet["loop"], packet["packet_id"]
        assert payloads.setdefault(key, canonical_payload(packet)) == canonical_payload(packet)
    return payloads


def test_two_servers_send_the_same_whatever_happens_to_their_sessions(recording, server):
    asked = {"perturbation": ASKED, "seed": 2**62 + 3}
    with live_server(recording) as other, ExitStack() as stack:
        for each in (server, other):
            each.create("same", **asked)
        calm = stack.enter_context(listening(f"{server.ws}/stream/same?format=json"))
        part = stack.enter_context(listening(f"{server.ws}/stream/same?target_id=0"))
        time.sleep(0.3)
        # The other one is listened to by three, and treated badly.
        first = stack.enter_context(listening(f"{other.ws}/stream/binary/same"))
        time.sleep(0.4)
        for action in ("pause", "resume"):
            assert other.post(f"/api/control/same/{action}")[0] == 200
            time.sleep(0.2)
        with listening(f"{other.ws}/stream/same?format=json") as second:
            for packet_id in (3, 60, 57):
                assert other.post("/api/control/same/seek", {"packet_id": packet_id})[0] == 200
                time.sleep(0.15)
            assert other.post("/api/control/same/speed", {"speed": 2})[0] == 200
            until(lambda: second.packets[-1].get("loop") == 1)
            assert other.post("/api/control/same/seek", {"packet_id": 0})[0] == 200
            filtered = stack.enter_context(listening(f"{other.ws}/stream/same?target_id=0"))
            until(lambda: second.packets[-1].get("loop", 0) >= 2)
        until(lambda: calm.packets[-1].get("loop", 0) >= 2)
        # Which begins at the position, so only the loops after its first one are whole.
        until(
            lambda: min(got.packets[-1].get("loop", 0) for got in (part, filtered)) >= 3, seconds=60
        )
        digests = [
            each.get(f"/api/sessions/same/digest?start=0&stop=100&loop={loop}{wanted}")[1]
            for loop in (0, 1, 2)
            for wanted in ("", "&target_id=0")
            for each in (server, other)
        ]
    sent = payloads_of(calm)
    assert {(loop, k) for loop in (0, 1) for k in range(N_BINS)} <= set(sent)
    for got in (first, second):
        theirs = payloads_of(got)
        shared = set(theirs) & set(sent)
        assert len(shared) > 100
        assert all(theirs[key] == sent[key] for key in shared)
    for one, another in zip(digests[::2], digests[1::2], strict=True):
        assert one == another
    for answer in digests[::2]:
        loop = answer["loop"]
        wanted = answer["filter"]["target_id"]
        if wanted is None and loop < 2:
            received = [sent[loop, k] for k in range(N_BINS)]
        elif wanted == 0 and loop in (1, 2):
            received = [data for key, data in sorted(payloads_of(part).items()) if key[0] == loop]
            again = [data for key, data in sorted(payloads_of(filtered).items()) if key[0] == loop]
            assert received == again
        else:
            continue
        assert answer["num_packets"] == len(received) > 0
        assert answer["sha256"] == digest_of(received)
        assert (answer["perturbation"]["name"], answer["seed"]) == ("everything", 2**62 + 3)
    assert len({answer["sha256"] for answer in digests}) == 6


def test_the_digest_of_a_clean_stream_and_of_part_of_it(server):
    server.create("clean", speed=10)
    got = receive(f"{server.ws}/stream/clean", N_BINS)
    payloads = [canonical_payload(packet) for packet in got.packets]
    whole = server.get("/api/sessions/clean/digest")[1]
    assert whole["sha256"] == digest_of(payloads)
    assert (whole["start"], whole["stop"], whole["loop"], whole["num_packets"]) == (0, 100, 0, 100)
    assert (whole["perturbation"], whole["perturbation_id"], whole["seed"]) == (None, None, 0)
    part = server.get("/api/sessions/clean/digest?start=20&stop=21")[1]
    assert part["sha256"] == digest_of(payloads[20:21])
    gap = server.get("/api/sessions/clean/digest?start=36&stop=40&trial_id=0")[1]
    assert (gap["num_packets"], gap["sha256"]) == (0, digest_of([]))


def test_put_get_and_delete_while_playing(server):
    server.create("live")
    url = "/api/sessions/live/perturbation"
    with listening(f"{server.ws}/stream/live?format=json") as got:
        until(lambda: len(got.packets) > 5)
        status, light = put(server, "live", {"perturbation": "light", "seed": 5})
        assert (status, light["status"]) == (200, "perturbed")
        assert light["perturbation"] == PRESETS["light"].as_json()
        time.sleep(0.2)
        extreme = put(server, "live", {"perturbation": {"preset": "extreme"}})[1]
        assert (extreme["perturbation"]["name"], extreme["seed"]) == ("extreme", 5)
        shown = server.get(url)[1]
        assert shown == {k: v for k, v in extreme.items() if k not in {"status", "packet_id"}}
        assert server.get("/api/sessions/live")[1].items() >= shown.items()
        assert server.get("/api/metadata?session=live")[1]["perturbation"]["name"] == "extreme"
        assert server.get("/api/metadata")[1]["perturbation"] is None
        time.sleep(0.2)
        status, clean = server.request("DELETE", url)
        assert (status, clean["status"], clean["perturbation"]) == (200, "clean", None)
        time.sleep(0.2)
    packets = [packet for packet in got.packets if "dataset" not in packet]
    told = [packet for packet in got.packets if "dataset" in packet]
    assert [m["perturbation"] and m["perturbation"]["name"] for m in told] == [
        "light", "extreme", None,
    ]  # fmt: skip
    assert got.metadata["data"]["perturbation"] is None
    sequence = [packet["sequence_number"] for packet in packets]
    assert sequence == list(range(sequence[0], sequence[0] + len(sequence)))
    starts = {}
    for packet in packets:
        starts.setdefault(packet.get("perturbation_id", sequence[0]), packet["packet_id"])
    assert list(starts)[1:] == [light["perturbation_id"], extreme["perturbation_id"]]
    assert starts[light["perturbation_id"]] == light["packet_id"]
    assert starts[extreme["perturbation_id"]] == extreme["packet_id"]
    ids = [packet.get("perturbation_id") for packet in packets]
    after = packets[len(ids) - ids[::-1].index(extreme["perturbation_id"])]
    assert after["packet_id"] == clean["packet_id"]
    for packet in packets:
        assert packet["kinematics"]["x"] == packet["packet_id"], "never perturbed"
    put(server, "live", {"perturbation": "light"})
    status, none = put(server, "live", {"perturbation": None})
    assert (status, none["status"], none["perturbation"]) == (200, "clean", None)


def test_what_another_client_of_a_session_asks_for_differently_is_409(server):
    server.create("mine", perturbation="moderate", seed=4)
    for asked in ({}, {"perturbation": "moderate"}, {"seed": 4}):
        assert server.create("mine", **asked)["created"] is False
    for asked, words in (
        ({"perturbation": "light"}, ("perturbation: got 'light'", "'moderate'")),
        ({"perturbation": {"transforms": []}}, ("perturbation: got none",)),
        ({"seed": 5}, ("seed: got 5", "has 4", "/api/sessions/mine/perturbation")),
    ):
        status, problem = server.post("/api/sessions/create", {"custom_code": "mine", **asked})
        assert status == 409
        assert all(word in problem["detail"] for word in words), problem["detail"]


NOISE = "perturbation.transforms[0].noise_std"
REFUSED = [
    ({"perturbation": "terrible"}, "perturbation: got 'terrible'", "light"),
    ({"perturbation": 5}, "perturbation: got 5", "preset"),
    ({"perturbation": []}, "perturbation: got []", "preset"),
    ({"perturbation": {}}, "perturbation: got", "transforms"),
    (
        {"perturbation": {"transforms": [{"kind": "gaussian_noise", "noise_std": -1}]}},
        f"{NOISE}: got -1", "from 0 to 100",
    ),
    (
        {"perturbation": {"transforms": [{"kind": "gaussian_noise", "noise_std": "2"}]}},
        f"{NOISE}: got '2'", "a number",
    ),
    (
        {"perturbation": {"transforms": [{"kind": "dead_units", "unit_ids": [999]}]}},
        "unit_ids", "999",
    ),
    ({"perturbation": "light", "seed": -1}, "seed: got -1", "0 to 9223372036854775807"),
    ({"perturbation": "light", "seed": 2**63}, f"seed: got {2**63}", "0 to 9223372036854775807"),
    ({"perturbation": "light", "seed": 1.5}, "seed: got 1.5", "a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "got", "takes"), REFUSED)
def test_what_is_wrong_is_refused_by_name_value_and_range(server, asked, got, takes):
    server.create("there", perturbation="light")
    before = server.get("/api/sessions/there/perturbation")[1]
    answers = [
        server.post("/api/sessions/create", {"custom_code": "refused", **asked}),
        put(server, "there", asked),
    ]
    for status, problem in answers:
        assert status == 422
        assert got in problem["detail"]
        assert takes in problem["detail"]
    assert server.get("/api/sessions/refused")[0] == 404
    assert server.get("/api/sessions/there/perturbation")[1] == before


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("start=-1", 422, ("start: got -1", "0 to 99")),
        ("start=100", 422, ("start: got 100", "0 to 99")),
        ("start=5&stop=5", 422, ("stop: got 5", "6 to 100")),
        ("stop=101", 422, ("stop: got 101", "1 to 100")),
        ("loop=-1", 422, ("loop: got -1", "takes 0 to")),
        ("loop=99999999999", 422, ("loop: got 99999999999", "takes 0 to")),
        ("start=x", 422, ("start: got 'x'", "a whole number")),
        ("trial_id=77", 404, ("trial_id=77",)),
    ],
)
def test_a_digest_of_what_is_not_there_is_refused(server, query, status, words):
    server.create("there", perturbation="light")
    answer, problem = server.get(f"/api/sessions/there/digest?{query}")
    assert answer == status
    assert all(word in problem["detail"] for word in words), problem["detail"]


def test_faults_of_the_link_are_seen_and_are_told_to_be_meant(server):
    loss = {"kind": "packet_loss", "probability": 0.2}
    server.create("link", perturbation={"transforms": [loss, *LINK]}, seed=3)
    with listening(f"{server.ws}/stream/link") as got:
        until(lambda: got.packets and got.packets[-1]["sequence_number"] > 150)
        assert server.post("/api/control/link/pause")[0] == 200
        time.sleep(0.2)
    report = server.get("/api/sessions/link/timing")[1]["playheads"][0]
    injected = report["injected"]
    sequence = got.sequence
    passed = server.get("/api/control/link/position")[1]["sequence_number"]
    assert injected["lost"] == passed - len(set(sequence)) > 10
    assert injected["duplicated"] == len(sequence) - len(set(sequence)) > 3
    overtaken = [b for a, b in pairwise(sequence) if b < a]
    assert injected["reordered"] == len(overtaken) > 3
    assert injected["delayed"] == injected["delay_us"]["count"] > 50
    assert injected["delay_us"]["mean"] > 1000
    assert report["packets"] == len(set(sequence))
    assert server.get("/api/stats/link")[1]["injected"]["lost"] == injected["lost"]
    with urllib.request.urlopen(server.http + "/api/sessions/link/timing?format=text") as answer:
        assert f"injected: {injected['lost']} lost" in answer.read().decode()


def test_the_server_can_be_told_to_perturb_what_says_nothing(recording):
    env = {
        "PHANTOM_NOISE_INJECTION_ENABLED": "true",
        "PHANTOM_NOISE_STD": "1.25",
        "PHANTOM_DRIFT_AMPLITUDE": "0.25",
        "PHANTOM_NOISE_SEED": "12",
    }
    expected = [
        {"kind": "gaussian_noise", "noise_std": 1.25},
        {"kind": "drift", "drift_amplitude": 0.25, "drift_period_seconds": 60.0},
    ]
    with live_server(recording, env=env) as server:
        got = receive(f"{server.ws}/stream/unknown", 20)
        server.create("clean", perturbation={"transforms": []})
        clean = receive(f"{server.ws}/stream/clean", 20)
        answer = server.get("/api/sessions/unknown/digest?stop=20")[1]
        metadata = server.get("/api/metadata")[1]
    for said in (got.metadata["data"], metadata, answer):
        assert said["perturbation"]["transforms"] == expected
        assert said["seed"] == 12
    assert {packet["perturbation_id"] for packet in got.packets} == {answer["perturbation_id"]}
    assert not any("perturbation_id" in packet for packet in clean.packets)
    assert answer["sha256"] == digest_of(map(canonical_payload, got.packets))


def test_the_first_message_is_of_the_perturbed_packet(server):
    server.create("first", perturbation="extreme")
    server.post("/api/control/first/seek", {"packet_id": 50})
    got = receive(f"{server.ws}/stream/first", 1)
    told = got.metadata["data"]
    assert told["spikes"] == got.packets[0]["spikes"]
    assert told["perturbation_id"] == got.packets[0]["perturbation_id"]
    raw = json.loads(json.dumps(decode(got.raw[0])))["data"]
    assert list(raw)[-1] == "perturbation_id", "beside the contract's members, after them"
