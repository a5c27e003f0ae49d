"""The scoreboard of a session that plays, on virtual time: what is live is what is offline."""

from __future__ import annotations

import math
import time
from contextlib import asynccontextmanager
from fractions import Fraction
from types import MappingProxyType

import msgpack
import numpy as np
import pytest
import trio

from phantomlink.engine.parts import blind_parts
from phantomlink.engine.session import Session
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.evaluation.stream import score_decoders
from phantomlink.evaluation.truth import Truth, rules_of
from phantomlink.outputs.decoders.kind import DecoderOutputs, scores_of
from phantomlink.outputs.decoders.player import Player
from phantomlink.outputs.decoders.scores import BlindSessionError
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.bins import Block
from phantomlink.recordings.trials import Filter, Trial, TrialTable
from phantomlink.scoring import Prediction, Scoreboard
from tests.fakes import ListSink, NamedBins, make_parts
from tests.virtual.test_views import watched

N_BINS, TRIAL_SECONDS = 400, 1.0
FAULTS = parse_perturbation(
    {
        "transforms": [
            {"kind": "gaussian_noise", "noise_std": 0.5},
            {"kind": "packet_loss", "probability": 0.05},
            {"kind": "packet_duplicate", "probability": 0.1},
            {"kind": "packet_reorder", "probability": 0.05},
            {"kind": "jitter", "std_ms": 3},
        ]
    }
)


class MovingBins(NamedBins):
    """Bins with velocities and counts that follow them; ten trials of a second."""

    def __init__(self, n_bins=N_BINS):
        trials = [
            Trial(
                row,
                row * TRIAL_SECONDS,
                row * TRIAL_SECONDS + 0.9,
                None,
                float(row % 3),
                0.0,
                row % 3,
                MappingProxyType({"move_onset_time": row * TRIAL_SECONDS + 0.4}),
            )
            for row in range(n_bins // 40)
        ]
        super().__init__(n_bins, trials=TrialTable(tuple(trials)))
        rng = np.random.default_rng(0)
        kinematics = np.cumsum(rng.normal(size=(n_bins, 4)), axis=0)
        drive = 4 + kinematics[:, :2] @ rng.normal(size=(2, 3)) * 0.3
        self.counts = rng.poisson(np.clip(drive, 0.1, 50)).astype(np.uint16)
        self.kinematics = kinematics

    def read(self, start, stop):
        rows = super().read(start, stop).trial_rows
        return Block(start, self.counts[start:stop], self.kinematics[start:stop], rows)


class Linear:
    """Velocity and position as weighted sums of the last two bins."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.before = np.zeros(3)

    def step(self, counts):
        now, self.before = counts + 0.5 * self.before, counts
        return now[0] - now[1], now[1], now[2], 1.0


class Answering(ListSink):
    """A client that decodes what it is sent and answers, after a while or at once."""

    def __init__(self, session, wanted=Filter(), name="kf", client_id=1):  # noqa: B008
        super().__init__()
        self.name = name
        self.feed = DecoderFeed(name, Linear())
        self.told = []
        self.session = session
        self.waiting = []
        self.arrived = trio.Event()
        session.nursery_of_test.start_soon(self.answer_forever)
        self._input = scores_of(session).client(client_id, wanted, self.told.append)
        self.input = self._input.__enter__()
        session.subscribe(wanted, session.playback(wanted), self)

    def offer_nowait(self, release):
        super().offer_nowait(release)
        self.waiting.append(release.packet)
        self.arrived.set()

    async def answer_forever(self):
        while True:
            await self.arrived.wait()
            self.arrived = trio.Event()
            for packet in self.waiting:
                said = self.feed.packet(
                    packet.sequence_number, packet.packet_id, packet.spike_counts
                )
                if said is not None:
                    self.send(packet, said)
            self.waiting = []

    def send(self, packet, said, **changes):
        data = {
            "packet_id": packet.packet_id,
            "loop": packet.loop,
            "sequence_number": packet.sequence_number,
            "decoder": self.name,
        }
        pairs = dict(zip(("vx", "vy", "x", "y"), said, strict=True))
        data |= {name: value for name, value in pairs.items() if not math.isnan(value)} | changes
        payload = msgpack.packb({"type": "prediction", "data": data})
        self.input.receive(payload, False, self.session.parts.clock.now_ns() + 1_000_000)

    def leave(self):
        self.session.unsubscribe(self)
        self._input.__exit__(None, None, None)


@asynccontextmanager
async def playing(bins=None, *, loop=False, kind=None, test_trials=(), **options):
    bins = bins or MovingBins()
    kind = kind or DecoderOutputs()
    parts = make_parts(bins, loop=loop)
    if test_trials:
        parts = blind_parts(parts, test_trials)
    session = Session("a", parts, outputs=[kind.output()], **options)
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            session.nursery_of_test = nursery
            await trio.sleep(0.01)
            yield session
            nursery.cancel_scope.cancel()


def same(live, offline, name="kf"):
    """Whether all figures of a decoder are the same to 1e-9."""
    for window in ("trials", "movement"):
        mine, others = live.figures(name, window), offline.figures(name, window)
        assert mine["closed"] == others["closed"]
        assert mine["answered"] != {}
        for variant in ("answered", "held"):
            assert_near(mine[variant], others[variant])


def assert_near(mine, others):
    assert type(mine) is type(others)
    if isinstance(mine, dict):
        assert mine.keys() == others.keys()
        for key in mine:
            assert_near(mine[key], others[key])
    elif isinstance(mine, list):
        assert len(mine) == len(others)
        for one, other in zip(mine, others, strict=True):
            assert_near(one, other)
    elif isinstance(mine, float):
        assert mine == pytest.approx(others, abs=1e-9)
    else:
        assert mine == others


@pytest.mark.parametrize("perturbation", [NO_PERTURBATION, FAULTS])
async def test_a_live_score_is_the_offline_score(perturbation, autojump_clock):
    async with playing(perturbation=perturbation, seed=3) as session:
        client = Answering(session)
        await trio.sleep(20)
        assert client.ended is not None  # the recording is over
        client.leave()
        await trio.sleep(2)
        live = await scores_of(session).settle()
    feeds = {"kf": DecoderFeed("kf", Linear())}
    same(live, score_decoders(MovingBins(), feeds, perturbation, 3))


async def test_a_live_score_over_pause_seek_and_loops(autojump_clock):
    """What was sent, in the order in which it was sent, scored again by itself."""
    async with playing(loop=True, perturbation=FAULTS, seed=4) as session:
        client = Answering(session)
        await trio.sleep(3)
        session.pause()
        await trio.sleep(30)
        session.resume()
        await trio.sleep(1)
        session.seek(20)
        await trio.sleep(2)
        session.set_speed(Fraction(2))
        await trio.sleep(9)
        client.leave()
        await trio.sleep(2)
        live = await scores_of(session).settle()
        sent = client.packets
        lost = set(range(sent[-1].sequence_number + 1)) - {p.sequence_number for p in sent}
    bins = MovingBins()
    truth, again = Truth(bins), Scoreboard(rules_of(bins, 25_000_000))
    again.connect("kf", 1, "all", 0)
    rows = {packet.sequence_number: packet for packet in sent}
    feed = DecoderFeed("kf", Linear())
    said = {}
    for packet in sent:
        values = feed.packet(packet.sequence_number, packet.packet_id, packet.spike_counts)
        if values is not None:
            said[packet.sequence_number] = values
    for number in sorted({*rows, *lost}):
        packet = rows.get(number) or rows[number - 1]
        is_lost = number in lost
        # A lost packet is the one behind its predecessor: nothing was lost at the seek.
        bin_index = packet.packet_id + is_lost
        block = bins.read(bin_index, bin_index + 1)
        again.sent(
            "all",
            truth.packet(
                bin_index,
                number,
                packet.loop,
                0,
                tuple(block.kinematics[0].tolist()),
                int(block.trial_rows[0]),
                is_lost=is_lost,
            ),
        )
        if number in said:
            prediction = Prediction(bin_index, said[number], packet.loop, number)
            again.answer("kf", 1, "all", prediction, 0)
        again.close(0)
    again.close_all("all")
    again.settle()
    same(live, again)


async def test_a_client_is_told_after_each_trial(autojump_clock):
    async with playing() as session:
        client = Answering(session)
        await trio.sleep(6.5)
        told = [message["data"] for message in client.told]
        assert all(message["type"] == "scored" for message in client.told)
        # The fourth is closed after 5.9 s, and told at the next look, of which each second has one.
        assert [data["trial_id"] for data in told] in ([0, 1, 2], [0, 1, 2, 3])
        score = told[1]["decoders"][0]
        assert (score["decoder"], score["coverage"]) == ("kf", 1.0)
        assert score["latency_ms"]["max"] == pytest.approx(1.0)
        assert score["trials"]["answered"]["n"] == 72
        assert score["movement"]["held"]["velocity"]["n"] == 2 * 28
        client.leave()


async def test_the_first_prediction_finds_its_packet(autojump_clock):
    async with playing() as session:
        client = Answering(session)
        client.feed = DecoderFeed("none", Silent())
        await trio.sleep(1)
        assert scores_of(session).board is None  # nobody has answered
        client.send(client.packets[-10], (1.0, 1.0, math.nan, math.nan))
        assert client.input.counters == {"scored": 1}
        client.send(client.packets[0], (1.0, 1.0, math.nan, math.nan))
        assert client.input.counters == {"scored": 1, "unknown": 1}
        client.leave()


class Silent(Linear):
    def step(self, counts):
        return None


@pytest.mark.parametrize("hours", [2, -2])
async def test_a_wall_clock_that_is_set_makes_nobody_hours_late(hours, autojump_clock, monkeypatch):
    """Between the leaving of a packet and its prediction."""
    async with playing(loop=True) as session:
        client = Answering(session, name="kf", client_id=1)
        clock = session.parts.clock
        was = clock.wall_seconds
        set_by = lambda: 3600 * hours if len(client.packets) > 50 else 0  # noqa: E731
        monkeypatch.setattr(clock, "wall_seconds", lambda: was() + set_by())
        await trio.sleep(4)
        board = await scores_of(session).settle()
        assert board.summary("kf")["answered"] > 50
        latencies_ns = board.decoder("kf").latencies._latest_ns
        # A period at most: a packet left after the one before it was looked at.
        assert min(latencies_ns) == 1_000_000
        assert max(latencies_ns) <= 26_000_000
        client.leave()


async def test_filtered_playheads_have_packets_of_their_own(autojump_clock):
    async with playing(loop=True) as session:
        everything = Answering(session, name="all", client_id=1)
        of_trial = Answering(session, Filter(trial_id=3), name="one", client_id=2)
        await trio.sleep(6)
        # A packet of the other playhead is not theirs.
        of_trial.send(everything.packets[-1], (1.0, 1.0, 1.0, 1.0), sequence_number=None)
        await trio.sleep(1)
        board = await scores_of(session).settle()
        assert board.summary("one")["unknown"] == 1
        trials = board.figures("one", "trials")["answered"]["trials"]
        assert {trial["trial_id"] for trial in trials} == {3}
        assert [trial["n"] for trial in trials][:4] == [36] * 4
        # It goes with its client, and the next one begins anew.
        of_trial.leave()
        await trio.sleep(3)
        again = Answering(session, Filter(trial_id=3), name="one", client_id=3)
        await trio.sleep(4)
        board = await scores_of(session).settle()
        assert again.sequence[0] == 0
        assert board.summary("one")["unknown"] == 1
        assert board.summary("one")["answered"] > 36 * 4
        everything.leave()
        again.leave()


async def test_it_is_quiet_when_nobody_answers_any_more(autojump_clock):
    async with playing(loop=True) as session:
        listener = ListSink()
        session.subscribe(Filter(), session.main, listener)
        client = Answering(session)
        await trio.sleep(4)
        client.leave()
        await trio.sleep(5)
        scores = scores_of(session)
        assert not scores._is_active
        before = scores.board.summary("kf")
        assert before["closed"] == before["answered"] == 161
        await trio.sleep(5)
        assert scores.board.summary("kf") == before
        # And awake again.
        other = Answering(session, client_id=2)
        await trio.sleep(5)
        other.leave()
        await trio.sleep(2)
        assert scores.board.summary("kf")["closed"] == 161 + 201


async def test_malformed_messages_are_counted_and_held_back(autojump_clock):
    async with playing(loop=True) as session:
        client = Answering(session)
        await trio.sleep(0.1)
        now_ns = session.parts.clock.now_ns() + 25_000_000
        for payload, is_text in ((b"\xc1", False), (b"{", True), (b"{}", True), (b"[]", True)):
            client.input.receive(payload, is_text, now_ns)
        assert client.input.counters["malformed"] == 3
        assert client.input.counters["ignored"] == 1
        assert client.input.pause_seconds(now_ns) == 0
        client.input.receive(b"\xc1", False, now_ns)
        assert client.input.pause_seconds(now_ns) == pytest.approx(0.025)
        assert client.input.pause_seconds(now_ns + 25_000_000) == 0
        client.input.receive(b"\xc1", False, now_ns + 30_000_000)
        assert client.input.pause_seconds(now_ns + 30_000_000) == 0
        client.leave()


async def test_a_speed_changes_what_is_late(autojump_clock):
    async with playing(loop=True) as session:
        client = Answering(session)
        await trio.sleep(1)
        session.set_speed(Fraction(50))  # a period of half a millisecond
        await trio.sleep(1)
        board = await scores_of(session).settle()
        # A millisecond is late now, and was not before.
        at_40_hz = 40
        assert board.summary("kf")["late"] == client.input.counters["scored"] - at_40_hz
        client.leave()


async def test_what_clients_send_is_summed_over_sessions_and_told_to_views(autojump_clock):
    kind = DecoderOutputs()
    async with playing(loop=True, kind=kind) as session:
        client = Answering(session)
        client.input.receive(b"nothing", False, session.parts.clock.now_ns())
        await trio.sleep(4)
        assert kind.messages["malformed"] == 1
        assert kind.messages["scored"] == client.input.counters["scored"] > 100
        assert scores_of(session).summaries() == []  # made once somebody asks
        await trio.sleep(0.1)
        (summary,) = scores_of(session).summaries()
        assert (summary["decoder"], summary["coverage"]) == ("kf", 1.0)
        client.leave()
    assert kind.messages["scored"] > 100  # also of a session that has ended


async def test_a_view_is_told_of_decoders_five_times_a_second(autojump_clock):
    async with playing(loop=True) as session, watched(session) as socket:
        client = Answering(session)
        await trio.sleep(10)
        client.leave()
        closed = [message["decoders"][0]["closed"] for message in socket.of("decoders")]
        # Packets are closed 2 s after they left, some new ones each time.
        assert 30 < len(set(closed)) <= len(closed) <= 50


async def test_a_blind_session_tells_its_scores_when_it_is_stopped(autojump_clock):
    test_trials = (1, 3, 5)
    async with playing(loop=True, test_trials=test_trials) as session:
        client = Answering(session)
        await trio.sleep(14)
        for packet in client.packets:
            hidden = packet.packet_id // 40 in test_trials and packet.packet_id % 40 < 36
            assert (packet.vx is None) == hidden
            if hidden:
                assert (packet.trial_id, packet.intention.target_x) == (None, None)
        scores = scores_of(session)
        with pytest.raises(BlindSessionError, match="told once it is stopped"):
            await scores.settle()
        assert client.told == []
        assert scores.summaries() == []
        session.stop()
        board = await scores.settle()
        trials = board.figures("kf", "trials")["answered"]["trials"]
        assert {trial["trial_id"] for trial in trials} >= set(test_trials)
        before = client.input.counters["refused"]
        client.send(client.packets[-1], (1.0, 1.0, 1.0, 1.0))
        assert client.input.counters["refused"] == before + 1
        client.leave()


async def test_decoders_are_refitted_one_at_a_time_while_scores_are_read(mock_clock):
    """Reading waits for whoever closes packets: no packet is decoded in the middle of a refit."""
    order = []
    mock_clock.rate = 5  # a clock that leaps would leap while a thread is at work

    class Slow:
        is_due = False

        def reset(self):
            pass

        def step(self, counts):
            order.append("step")
            return 0.0, 0.0

        def learn(self, kinematics, trial_id):
            self.is_due = True

        def refit(self):
            order.append("begin")
            time.sleep(0.002)
            order.append("end")
            self.is_due = False

    async with playing() as session:
        scores = scores_of(session)
        player = Player("slow", "m", FakeModel(Slow()), None)
        scores.put(player)
        session.subscribe(Filter(), session.main, ListSink())
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(scores.settle)
            nursery.start_soon(scores.read, lambda board: order.append("read"))
    steps = [what for what in order if what != "read"]
    assert len(steps) > 30
    # The last one may be on its way when the block is left.
    assert steps == (["step", "begin", "end"] * len(steps))[: len(steps)]


class FakeModel:
    kind = "fake"
    training_trials = ()

    def __init__(self, decoder):
        self._decoder = decoder

    def decoder(self):
        return self._decoder
