"""The order in which listeners have a packet, and what becomes of one that fails."""

import json
from dataclasses import dataclass, field

import msgpack
import numpy as np
import pytest
from msgspec.structs import replace

from phantomlink.close_codes import CLOSE_INTERNAL_ERROR
from phantomlink.engine.fanout import Encoders, Fanout, Release
from phantomlink.engine.faults import Fault
from phantomlink.wire.encoder import WireFormat
from phantomlink.wire.packet import Intention, Packet, StreamHeader


@dataclass(eq=False)
class Listener:
    name: str
    order: list
    is_deferred: bool = False
    fails: bool = False
    wire_format: object = None
    is_listening: bool = True
    taken: list = field(default_factory=list)

    def offer_nowait(self, release):
        self.order.append(self.name)
        if self.fails:
            raise ValueError("a bug")
        self.taken.append(release)


@pytest.fixture
def fanout():
    return Fanout()


@pytest.fixture
def add(fanout):
    order = []

    def add(name, **kwargs):
        listener = Listener(name, order, **kwargs)
        fanout.add(listener)
        return listener

    add.order = order
    return add


def test_those_that_come_last_have_it_when_all_others_do(fanout, add):
    for name, last in (("slow", True), ("a", False), ("inlets", True), ("b", False)):
        add(name, is_deferred=last)
    assert fanout.offer("packet") == []
    assert add.order == ["a", "b"]
    assert fanout.n_first == 2
    assert fanout.offer_last("packet") == []
    assert add.order == ["a", "b", "slow", "inlets"]


@pytest.mark.parametrize(("n", "is_given_way"), [(1, False), (2, True), (32, True), (33, False)])
def test_a_few_are_given_way_between_two_of_them(fanout, add, n, is_given_way):
    for k in range(n):
        add(k, is_deferred=k == 1 < n - 1)
    fanout.offer("packet", lambda: add.order.append("way"))
    taken = [k for k in range(n) if k != 1 or n == 2]
    ways = ["way"] * (len(taken) - 1) if is_given_way else []
    assert [each for each in add.order if each != "way"] == taken
    assert add.order[1::2] == ways if is_given_way else "way" not in add.order


def test_who_comes_last_is_asked_at_every_packet(fanout, add):
    a, b = add("a"), add("b")
    for k, a.is_deferred in enumerate((True, False, True)):
        b.is_deferred = not a.is_deferred
        add.order.clear()
        fanout.offer(k)
        fanout.offer_last(k)
        assert add.order == (["b", "a"] if a.is_deferred else ["a", "b"])
    assert a.taken == b.taken == [0, 1, 2]


def test_who_has_left_is_not_offered_the_rest_of_the_tick(fanout, add):
    add("a")
    last = add("last", is_deferred=True)
    fanout.offer("packet")
    fanout.discard(last)
    fanout.offer("next")
    fanout.offer_last("next")
    assert last.taken == []


@pytest.mark.parametrize("is_deferred", [False, True])
def test_one_that_fails_is_named_and_costs_nobody_the_packet(fanout, add, is_deferred, caplog):
    broken = add("broken", is_deferred=is_deferred, fails=True)
    others = [add("a"), add("b", is_deferred=True)]
    first, last = fanout.offer("packet"), fanout.offer_last("packet")
    assert (last if is_deferred else first) == [broken]
    assert (first if is_deferred else last) == []
    assert [each.taken for each in others] == [["packet"]] * 2
    assert caplog.text.count("A sink failed and is dropped") == 1
    assert "a bug" in caplog.text


def test_nobody_at_all_takes_nothing(fanout):
    assert fanout.offer("packet") == []
    assert fanout.offer_last("packet") == []
    assert fanout.n_first == 0


@dataclass(eq=False)
class Watcher:
    name: str
    order: list
    fails: bool = False
    ended: list = field(default_factory=list)

    def offer_nowait(self, release):
        self.order.append((self.name, release))
        if self.fails:
            raise ValueError("a bug")

    def lost_nowait(self, release):
        self.offer_nowait(("lost", release))

    def end(self, code, reason):
        self.ended.append((code, reason))


def test_observers_have_each_packet_after_every_sink_until_they_are_discarded(fanout, add):
    add("a")
    add("slow", is_deferred=True)
    first, second = Watcher("first", add.order), Watcher("second", add.order)
    for each in (first, second):
        fanout.add_observer(each)
    assert len(fanout) == fanout.n_listening == 2
    fanout.offer("packet")
    assert fanout.offer_last("packet") == []
    assert add.order == ["a", "slow", ("first", "packet"), ("second", "packet")]
    add.order.clear()
    fanout.discard_observer(first)
    fanout.discard_observer(Watcher("unknown", []))
    fanout.lost("gone")
    assert add.order == [("second", ("lost", "gone"))]


@pytest.mark.parametrize("is_lost", [False, True])
def test_an_observer_that_fails_is_dropped_and_told_so(fanout, add, is_lost, caplog):
    broken, whole = Watcher("broken", [], fails=True), Watcher("whole", [])
    for each in (broken, whole):
        fanout.add_observer(each)
    for packet in (1, 2):
        # It is no sink: nobody else is to drop it.
        assert (fanout.lost(packet) if is_lost else fanout.offer_last(packet)) in (None, [])
    assert len(broken.order) == 1
    assert len(whole.order) == 2
    assert broken.ended == [(CLOSE_INTERNAL_ERROR, "internal error")]
    assert whole.ended == []
    assert caplog.text.count("failed and is dropped") == 1


def test_what_listeners_want_is_known_while_they_are_there(fanout, add):
    binary = add("a", wire_format=WireFormat.MSGPACK)
    text = add("b", wire_format=WireFormat.JSON, is_listening=False)
    again = add("c", wire_format=WireFormat.JSON)
    add("inlets")
    assert fanout.wire_formats == {WireFormat.MSGPACK, WireFormat.JSON}
    assert (len(fanout), fanout.n_listening) == (4, 3)
    for each in (binary, text, text):
        fanout.discard(each)
    assert fanout.wire_formats == {WireFormat.JSON}
    assert next(iter(fanout)) is again
    fanout.offer("packet")
    assert (binary.taken, text.taken, again.taken) == ([], [], ["packet"])


class TestRelease:
    @pytest.fixture
    def packet(self):
        counts = np.array([3, 1], np.uint16)
        return Packet(7, 3, 0, counts, 1.0, 2.0, 3.0, 4.0, Intention(), None, None)

    @pytest.fixture
    def release(self, packet):
        return Release(packet, Encoders(StreamHeader(2, 25.0)), Fault(duplicated=True))

    def stamp_of(self, frame, *, text):
        read = json.loads if text else msgpack.unpackb
        return read(frame.payload)["data"]["timestamp"]

    def test_it_has_no_frame_before_its_tick(self, release):
        with pytest.raises(RuntimeError, match="no frame to send before its tick"):
            release.frame(WireFormat.JSON)
        assert (release.timestamp, release.deadline_ns) == (None, 0)

    def test_frames_that_were_made_before_and_those_that_are_made_late_have_the_same_stamp(
        self, release
    ):
        release.prepare(WireFormat.MSGPACK)
        release.stamp(123, 1_700_000_000.25)
        assert (release.deadline_ns, release.timestamp) == (123, 1_700_000_000.25)
        for form, text in ((WireFormat.MSGPACK, False), (WireFormat.JSON, True)):
            frame = release.frame(form)
            assert self.stamp_of(frame, text=text) == 1_700_000_000.25
            # Made once: two listeners share it, and nobody pays for it twice.
            assert release.frame(form) is frame

    def test_what_is_prepared_is_encoded_before_the_tick_and_not_in_it(self, packet):
        encoded = []

        class Counting(Encoders):
            def encode(self, packet, wire_format):
                encoded.append(wire_format)
                return super().encode(packet, wire_format)

        release = Release(packet, Counting(StreamHeader(2, 25.0)))
        release.prepare(WireFormat.MSGPACK)
        assert encoded == [WireFormat.MSGPACK]
        release.stamp(1, 5.0)
        release.frame(WireFormat.MSGPACK)
        assert encoded == [WireFormat.MSGPACK]

    def test_preparing_it_again_keeps_what_was_made(self, release):
        release.prepare(WireFormat.JSON)
        release.stamp(1, 5.0)
        frame = release.frame(WireFormat.JSON)
        release.prepare(WireFormat.JSON)
        assert release.frame(WireFormat.JSON) is frame

    def test_another_packet_in_its_place_has_its_tick_and_its_fate(self, release, packet):
        release.prepare(WireFormat.JSON)
        release.stamp(123, 1_700_000_000.25)
        other = release.with_packet(replace(packet, packet_id=8))
        assert (other.deadline_ns, other.timestamp) == (123, 1_700_000_000.25)
        assert other.fault is release.fault
        payload = json.loads(other.frame(WireFormat.JSON).payload)["data"]
        assert (payload["packet_id"], payload["timestamp"]) == (8, 1_700_000_000.25)
        assert json.loads(release.frame(WireFormat.JSON).payload)["data"]["packet_id"] == 7

    def test_an_encoder_is_made_once_for_each_form(self, packet):
        encoders = Encoders(StreamHeader(2, 25.0))
        for _ in range(2):
            encoders.encode(packet, WireFormat.JSON)
        assert list(encoders._encoders) == [WireFormat.JSON]
        first = encoders._encoders[WireFormat.JSON]
        encoders.encode(packet, WireFormat.MSGPACK)
        assert encoders._encoders[WireFormat.JSON] is first
