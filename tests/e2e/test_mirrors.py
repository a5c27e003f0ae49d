"""A node with many viewers of another node's session plays it too: the same, to the byte."""

import os
import signal
from contextlib import ExitStack

import msgpack
from websockets.sync.client import connect

from tests.clients import decode, listening
from tests.mirror_viewers import MIRROR_ENV, VIEWERS, are_mirrored, plays, viewers
from tests.nodes import LONG_LEASE_SECONDS, NOISE, SEED, nodes, valkey_at
from tests.waiting import until
from tools.cluster_oracle import Oracle

MORE_NOISE = {"transforms": [{"kind": "gaussian_noise", "noise_std": 2.0}]}


def make(server, code="s"):
    server.create(code, perturbation=NOISE, seed=SEED)
    until(lambda: server.get("/api/metadata")[1]["sha256"], "the digest")


def by_number(packets):
    """What each says, but when it left."""
    said = {}
    for packet in packets:
        if "dataset" in packet:
            # Of a metadata message that came again.
            continue
        kept = {name: value for name, value in packet.items() if name != "timestamp"}
        assert said.setdefault(packet["sequence_number"], kept) == kept
    return said


def agree(owners, mirrored):
    one, other = by_number(owners), by_number(mirrored)
    common = set(one) & set(other)
    assert {number: one[number] for number in common} == {
        number: other[number] for number in common
    }
    return len(common)


def test_a_session_with_many_viewers_is_played_where_they_are_and_switches_where_its_owner_does(
    synthetic_recording, valkey
):
    lease = LONG_LEASE_SECONDS
    with ExitStack() as stack:
        a, b = stack.enter_context(
            nodes(synthetic_recording, "a", "b", valkey=valkey, lease_seconds=lease, env=MIRROR_ENV)
        )
        make(a)
        found = stack.enter_context(viewers(*[f"{b.ws}/stream/s"] * VIEWERS))
        own = stack.enter_context(listening(f"{a.ws}/stream/s"))
        until(lambda: are_mirrored(found, b), "the mirror")
        # Told where to go, and not just cut off.
        assert any((4412, f"{b.ws}/stream/s") in each.closes for each in found)
        until(lambda: plays(b) == {"a/0": (1, 0), "b/0": (0, 1)}, "the mirror in the list")
        until(lambda: set(b.get("/api/sessions")[1]["sessions"]) == {"s"}, "the list")
        # Each names itself to those that ask there, who need not know of the other one.
        for server in (a, b):
            asked = server.create("s", perturbation=NOISE, seed=SEED)
            assert (asked["created"], asked["stream_url"]) == (False, f"{server.ws}/stream/s")
        # What a client asks is still answered by the owner.
        for path, body in [
            ("/api/control/s/seek", {"packet_id": 40}),
            ("/api/control/s/speed", {"speed": 2}),
            ("/api/control/s/pause", None),
            ("/api/control/s/resume", None),
            ("/api/control/s/seek", {"packet_id": 90}),
        ]:
            n = [len(each.packets) for each in found]
            until(lambda path=path, body=body: b.post(path, body)[0] == 200, path)
            if path.endswith("pause"):
                continue
            until(
                lambda n=n: all(len(v.packets) > k + 20 for v, k in zip(found, n, strict=True)),
                f"packets after {path}",
            )
        said = {"perturbation": MORE_NOISE, "seed": 9}
        path = "/api/sessions/s/perturbation"
        until(lambda: a.request("PUT", path, said)[0] == 200, path)
        n = [len(each.packets) for each in found]
        until(
            lambda: all(len(v.packets) > k + 40 for v, k in zip(found, n, strict=True)),
            "packets after the perturbation",
        )
        assert b.get("/api/sessions/s")[1]["seed"] == 9
        for each in found:
            from_mirror = [packet for owner, packet in each.packets if owner.startswith(b.ws)]
            assert agree(own.packets, from_mirror) > 40
            assert agree(own.packets, [packet for _, packet in each.packets]) > 40
        until(lambda: a.request("DELETE", "/api/sessions/s")[0] in {200, 404}, "a deletion")
        until(lambda: any(code == 4410 for each in found for code, _ in each.closes), "the end")
        assert "Traceback" not in a.log + b.log


def test_when_the_owner_is_killed_the_viewers_of_a_mirror_go_on(synthetic_recording, valkey):
    oracle = Oracle(synthetic_recording, NOISE, SEED)
    with ExitStack() as stack:
        a, b = stack.enter_context(
            nodes(synthetic_recording, "a", "b", valkey=valkey, env=MIRROR_ENV)
        )
        make(a)
        found = stack.enter_context(viewers(*[f"{b.ws}/stream/s"] * VIEWERS))
        until(lambda: are_mirrored(found, b), "the mirror")
        os.killpg(a.process.pid, signal.SIGKILL)
        until(lambda: b.get("/api/sessions/s")[0] == 200, "the heir")
        n = [len(each.packets) for each in found]
        until(
            lambda: all(len(v.packets) > k + 40 for v, k in zip(found, n, strict=True)),
            "packets of the heir",
        )
        until(lambda: plays(b) == {"b/0": (1, 0)}, "the session of its own")
        for each in found:
            assert all(oracle.is_right(packet) for _, packet in each.packets)
        assert "Traceback" not in b.log


def test_without_the_directory_the_viewers_of_a_mirror_have_the_owner_again(
    synthetic_recording, tmp_path
):
    oracle = Oracle(synthetic_recording, NOISE, SEED)
    with ExitStack() as stack:
        valkey = stack.enter_context(valkey_at(tmp_path / "one"))
        a, b = stack.enter_context(
            nodes(synthetic_recording, "a", "b", valkey=valkey, env=MIRROR_ENV)
        )
        make(a)
        found = stack.enter_context(viewers(*[f"{b.ws}/stream/s"] * VIEWERS))
        until(lambda: are_mirrored(found, b), "the mirror")
        valkey.stop()
        until(lambda: any((4412, f"{a.ws}/stream/s") in v.closes for v in found), "the way back")
        until(lambda: are_mirrored(found, a), "streams that are passed on")
        n = [len(each.packets) for each in found]
        until(
            lambda: all(len(v.packets) > k + 40 for v, k in zip(found, n, strict=True)),
            "packets of the owner",
        )
        for each in found:
            assert all(oracle.is_right(packet) for _, packet in each.packets)
        assert "Traceback" not in a.log + b.log


def test_predictions_and_filters_are_the_owners(synthetic_recording, valkey):
    lease = LONG_LEASE_SECONDS
    with ExitStack() as stack:
        a, b = stack.enter_context(
            nodes(synthetic_recording, "a", "b", valkey=valkey, lease_seconds=lease, env=MIRROR_ENV)
        )
        make(a)
        # Those that answer, or might, before there is a mirror are left where they are.
        owners = stack.enter_context(viewers(f"{b.ws}/stream/s?scores=1", f"{b.ws}/stream/s"))
        until(lambda: all(each.packets for each in owners), "packets")
        owners[1].socket.send(msgpack.packb({"type": "ignored"}))
        found = stack.enter_context(viewers(*[f"{b.ws}/stream/s"] * VIEWERS))
        until(lambda: are_mirrored(found, b), "the mirror")
        for url in (f"{b.ws}/stream/s?trial_id=2", f"{b.ws}/stream/s?scores=1"):
            with connect(url, open_timeout=20) as other:
                assert decode(other.recv())["session"]["url"] == f"{a.ws}/stream/s"
        first = found[0]
        packet = first.packets[-1][1]
        said = {
            "type": "prediction",
            "data": {"packet_id": packet["packet_id"], "vx": 1.0, "vy": 2.0, "decoder": "d"},
        }
        first.socket.send(msgpack.packb(said))
        until(lambda: (4412, f"{a.ws}/stream/s") in first.closes, "the way to the owner")
        # It comes to the same node again, and is passed on from there.
        until(lambda: first.owners[-1] == f"{a.ws}/stream/s", "the owner")

        def is_scored():
            last = first.packets[-1][1]
            data = said["data"] | {
                name: last[name] for name in ("packet_id", "sequence_number", "loop")
            }
            first.socket.send(msgpack.packb(said | {"data": data}))
            return b.get("/api/sessions/s/decoders/d")[0] == 200

        until(is_scored, "a decoder")
        assert {url for each in owners for url in each.owners} == {f"{a.ws}/stream/s"}
        assert [each.closes for each in owners] == [[], []]
        assert "Traceback" not in a.log + b.log
