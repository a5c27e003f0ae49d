"""Packets with what built-in decoders make of them: who gets them, when, and in which order."""

from __future__ import annotations

import math
import time
from itertools import groupby

import msgpack
import numpy as np
import trio

from phantomlink.engine.fanout import Release
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.outputs.decoders.client_input import BUILT_IN
from phantomlink.outputs.decoders.decoded import DecodedSink
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.outputs.decoders.player import Player
from phantomlink.recordings.trials import Filter
from phantomlink.wire.canonical import canonical_payload
from phantomlink.wire.encoder import WireFormat
from tests.fakes import ListSink
from tests.virtual.test_scores import FAULTS, FakeModel, Linear, MovingBins, playing
from tests.virtual.test_views import watched


def listen(session, sink):
    """What a client with `?decoded=1` subscribes."""
    decoded = DecodedSink(scores_of(session).decoded, sink)
    session.subscribe(Filter(), session.main, decoded)
    return decoded


def put(session, name="kf", decoder=None):
    scores_of(session).put(Player(name, "m", FakeModel(decoder or Linear()), None))


def said_offline(packets):
    """Of each packet, the same of one that comes twice."""
    feed, said = DecoderFeed("kf", Linear()), {}
    for p in packets:
        values = feed.packet(p.sequence_number, p.packet_id, p.spike_counts)
        said.setdefault(p.packet_id, (None, None) if values is None else values[:2])
    return [said[p.packet_id] for p in packets]


async def test_every_packet_comes_once_in_order_with_what_is_decoded(autojump_clock):
    async with playing(perturbation=FAULTS, seed=3) as session:
        put(session)
        plain, told = ListSink(), ListSink()
        listen(session, told)
        session.subscribe(Filter(), session.main, plain)
        await trio.sleep(6)
        assert [p.sequence_number for p in told.packets] == [
            p.sequence_number for p in plain.packets
        ]
        assert [p.decoded["kf"] for p in told.packets] == said_offline(plain.packets)
        assert {p.decoded for p in plain.packets} == {None}
        assert sum(p.decoded["kf"] == (None, None) for p in told.packets) < 30


async def test_the_others_have_their_packet_first_and_frames_are_made_once(autojump_clock):
    order, frames = [], []

    class Noting(ListSink):
        def __init__(self, name):
            super().__init__()
            self.name = name

        def offer_nowait(self, release):
            order.append(self.name)
            if self.name != "plain":
                frames.append(release.frame(WireFormat.MSGPACK))
            super().offer_nowait(release)

    async with playing() as session:
        put(session)
        for name in ("first", "second"):
            listen(session, Noting(name))
        session.subscribe(Filter(), session.main, Noting("plain"))
        await trio.sleep(0.2)
    n = len(order) // 3
    assert n > 4
    assert order[: 3 * n] == ["plain", "first", "second"] * n
    assert all(one is other for one, other in zip(frames[::2], frames[1::2], strict=True))
    data = msgpack.unpackb(frames[0].payload)["data"]
    assert data["decoded"]["kf"].keys() == {"vx", "vy"}
    assert data["timestamp"] > 0


async def test_what_is_decoded_is_in_no_digest(autojump_clock):
    async with playing() as session:
        put(session)
        plain, told = ListSink(), ListSink()
        listen(session, told)
        session.subscribe(Filter(), session.main, plain)
        await trio.sleep(0.2)
        encode = session.parts.encoders.encode
        for one, other in zip(plain.packets, told.packets, strict=True):
            mine, others = (
                msgpack.unpackb(encode(packet, WireFormat.MSGPACK).payload)["data"]
                for packet in (one, other)
            )
            assert "decoded" not in mine
            vx, vy = other.decoded["kf"]
            assert others.pop("decoded") == {"kf": {"vx": vx, "vy": vy}}
            assert canonical_payload(mine) == canonical_payload({**others, "decoded": {}})


async def test_who_follows_answers_is_told_those_of_built_in_decoders(autojump_clock):
    async with playing() as session:
        put(session)
        sink, answers = ListSink(), []
        session.subscribe(Filter(), session.main, sink)
        scores = scores_of(session)
        with scores.answers_followed_by(answers.append):
            await trio.sleep(3)
            await scores.decode()
        said = {
            packet.sequence_number: values
            for packet, values in zip(sink.packets, said_offline(sink.packets), strict=True)
            if values != (None, None)
        }
        told = {a.message.prediction.sequence_number: a.message.prediction for a in answers}
        assert {n: p.values[:2] for n, p in told.items()} == said
        assert len(answers) == len(told) > 100
        assert {(a.client_id, a.decoder, a.filter) for a in answers} == {(BUILT_IN, "kf", Filter())}


async def test_without_a_decoder_it_is_empty_and_one_may_come_and_go(autojump_clock):
    async with playing() as session:
        told = ListSink()
        listen(session, told)
        await trio.sleep(0.2)
        put(session)
        await trio.sleep(0.2)
        await scores_of(session).take_off("kf")
        await trio.sleep(0.2)
        named = [tuple(p.decoded) for p in told.packets]
    assert [names for names, _ in groupby(named)] == [(), ("kf",), ()]
    assert named.count(("kf",)) in (7, 8, 9)


async def test_what_is_held_back_leaves_before_the_stream_changes_or_ends(autojump_clock):
    heard = []

    class Noting(ListSink):
        def offer_nowait(self, release):
            heard.append(release.packet.decoded["kf"][0] is not None)

        def stream_changed(self):
            heard.append("changed")

        def end(self, code, reason):
            heard.append(code)

    async with playing() as session:
        put(session)
        sink = DecodedSink(scores_of(session).decoded, Noting())
        (packet,) = await packets(session, 1)
        release = Release(packet, session.parts.encoders)
        sink.offer_nowait(release)
        sink.stream_changed()
        sink.offer_nowait(release)
        sink.end(1000, "over")
    assert heard == [True, "changed", True, 1000]


async def packets(session, n):
    """The first packets that a session sends, decoded."""
    told = ListSink()
    sink = listen(session, told)
    await trio.sleep(n / 40)
    session.unsubscribe(sink)
    return told.packets[:n]


async def test_a_decoder_that_takes_long_holds_packets_back_for_a_while_only(mock_clock):
    """While it is fitted again; what it says of later packets is not lost."""
    mock_clock.rate = 1  # a clock that leaps would leap while a thread is at work
    waits = []

    class Slow(Linear):
        is_due = False

        def learn(self, kinematics, trial_id):
            self.is_due = not waits

        def refit(self):
            waits.append(None)
            time.sleep(0.7)
            self.is_due = False

    async with playing(MovingBins(400)) as session:
        put(session, decoder=Slow())
        enough = trio.Event()
        told = ListSink(on_offer=lambda _: len(told.packets) == 40 and enough.set())
        listen(session, told)
        await enough.wait()
        decoded = [p.decoded["kf"][0] is not None for p in told.packets]
        numbers = [p.sequence_number for p in told.packets]
    assert numbers == list(range(len(numbers)))
    assert decoded[0]  # before it is fitted, what it has said is told
    assert 5 < decoded.count(False) < 30
    assert decoded[-1]


async def test_a_view_is_told_what_is_decoded_at_the_end_of_each_column(autojump_clock):
    async with playing(perturbation=FAULTS, seed=3) as session:
        put(session)
        plain = ListSink()
        session.subscribe(Filter(), session.main, plain)
        async with watched(session) as socket:
            await trio.sleep(2)
        expected = {
            p.packet_id: said
            for p, said in zip(plain.packets, said_offline(plain.packets), strict=True)
            if said != (None, None)
        }
        compared = 0
        for message in socket.of("columns"):
            if set(message["lost"]) == {1}:
                continue  # nothing of it was sent
            values = np.frombuffer(message["decoded"]["kf"], "<f4").reshape(-1, 2)
            assert len(values) == len(message["lost"])
            for n, (vx, vy) in enumerate(values):
                packet_id = message["packet_id"] + n * message["bins_per_column"]
                if not math.isnan(vx):
                    assert (vx, vy) == tuple(np.float32(expected[packet_id]))
                    compared += 1
    assert compared > 50
