"""What a frame stream counts and sends, whatever a socket takes of it, against a model."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket import frame_stream
from phantomlink.outputs.websocket.frame_stream import FrameStream

MAX_FRAMES, MAX_BYTES = 4, 60


class Socket:
    """Takes as many bytes as it is told, and refuses the rest."""

    def __init__(self):
        self.room = 0
        self.taken = b""

    def send(self, data, _flags):
        part = bytes(data[: self.room])
        if not part and len(data):
            raise BlockingIOError
        self.room -= len(part)
        self.taken += part
        return len(part)


class Rig:
    def __init__(self, **options):
        self.ours, self.theirs = socket.socketpair()
        self.socket, self.latency = Socket(), Histogram()
        limits = {"max_frames": MAX_FRAMES, "max_bytes": MAX_BYTES} | options
        stream = SimpleNamespace(socket=self.ours)
        self.frames = FrameStream(stream, latency=self.latency, **limits)
        self.frames._send = self.socket.send

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The stream would close it, which has the same descriptor.
        self.frames._socket.detach()
        self.ours.close()
        self.theirs.close()

    def take(self, n_bytes):
        """The socket has room for so many more bytes."""
        self.socket.room += n_bytes
        self.frames._flush_nowait()

    def check(self):
        """What is counted is what waits."""
        queue = self.frames._queue
        assert self.frames.queued_bytes == sum(len(item.data) for item in queue)
        assert self.frames.queued_frames == sum(item.droppable for item in queue)

    def whole(self):
        """The names of the frames that were taken whole, and how much of the next one."""
        found, rest = [], self.socket.taken
        while rest and len(rest) >= rest[1]:
            found.append(chr(rest[0]))
            assert rest[: rest[1]] == frame(chr(rest[0]), rest[1])
            rest = rest[rest[1] :]
        return found, len(rest)


def frame(name, size):
    """So many bytes that say which they are, and how many."""
    return bytes([ord(name), size]) + name.encode() * (size - 2)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(2, 30)),
        st.tuples(st.just("put"), st.integers(2, 30)),
        st.tuples(st.just("hold"), st.just(0)),
        st.tuples(st.just("fill"), st.integers(2, 30)),
        st.tuples(st.just("take"), st.integers(0, 80)),
    ),
    max_size=40,
)


@given(OPERATIONS)
def test_counts_are_exact_and_no_frame_is_torn_doubled_or_out_of_order(operations):
    with Rig() as rig:
        names = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        order, droppable, held = [], set(), []
        for what, n in operations:
            if what == "take":
                rig.take(n)
            elif what == "fill":
                if held:
                    place, name = held.pop(0)
                    rig.frames.fill_nowait(place, frame(name, n))
            else:
                name = next(names)
                order.append(name)
                if what == "offer":
                    droppable.add(name)
                    rig.frames.offer_nowait(frame(name, n))
                elif what == "put":
                    rig.frames.put_nowait(frame(name, n))
                else:
                    held.append((rig.frames.hold_nowait(), name))
            rig.check()
            assert rig.frames.queued_frames <= MAX_FRAMES
            # When one comes, others make room: all but the newest, one that is torn, and what is
            # never dropped. What a place was kept for comes later.
            has_all_room = rig.frames.queued_bytes <= MAX_BYTES
            assert what not in ("offer", "put") or has_all_room or rig.frames.queued_frames <= 2
        for place, name in held:
            rig.frames.fill_nowait(place, frame(name, 2))
        rig.take(10**6)
        rig.check()
        assert rig.frames.queued_bytes == rig.frames.queued_frames == 0
        sent, rest = rig.whole()
        assert rest == 0
        assert sent == [name for name in order if name in set(sent)]
        assert set(order) - set(sent) <= droppable
        assert rig.frames.dropped_frames == len(order) - len(sent)
        # Each packet that was sent, and nothing else.
        assert rig.latency.count == len(droppable & set(sent))


def test_a_packet_is_recorded_with_the_time_from_its_offer_to_its_last_byte(monkeypatch):
    now_ns = [1000]
    monkeypatch.setattr(frame_stream, "_monotonic_ns", lambda: now_ns[0])
    with Rig() as rig:

        def send_slowly(data, flags):
            now_ns[0] += 7
            return rig.socket.send(data, flags)

        rig.frames._send = send_slowly
        rig.socket.room = 10
        rig.frames.offer_nowait(frame("a", 10))
        assert (rig.latency.count, rig.latency.sum_ns) == (1, 7)
        rig.frames.offer_nowait(frame("b", 10))
        rig.frames.offer_nowait(frame("c", 10))
        now_ns[0] += 100
        rig.take(10)
        assert (rig.latency.count, rig.latency.sum_ns) == (2, 7 + 114)
        now_ns[0] += 1000
        rig.take(10)
        # Tried once more in vain before that.
        assert (rig.latency.count, rig.latency.sum_ns) == (3, 7 + 114 + 1121)


@pytest.mark.parametrize("room", [1, 3])
def test_the_oldest_go_first_and_never_one_that_is_torn_nor_the_newest(room):
    with Rig(max_bytes=10**6) as rig:
        rig.socket.room = room
        for name in "abcdefg":
            rig.frames.offer_nowait(frame(name, 10))
        assert (rig.frames.queued_frames, rig.frames.dropped_frames) == (4, 3)
        assert rig.frames.queued_bytes == 10 - room + 3 * 10
        rig.take(10**6)
        assert rig.whole() == (["a", "e", "f", "g"], 0)


@pytest.mark.parametrize(("size", "left"), [(20, ["b", "c", "d"]), (21, ["c", "d"])])
def test_as_many_bytes_wait_as_may(size, left):
    with Rig() as rig:
        for name in "abc":
            rig.frames.offer_nowait(frame(name, 20))
        assert (rig.frames.queued_bytes, rig.frames.dropped_frames) == (60, 0)
        rig.frames.offer_nowait(frame("d", size))
        rig.take(10**6)
        assert rig.whole() == (left, 0)


def test_one_frame_of_any_size_waits():
    with Rig() as rig:
        rig.frames.offer_nowait(frame("a", 10))
        rig.frames.offer_nowait(frame("b", 200))
        assert (rig.frames.queued_frames, rig.frames.queued_bytes) == (1, 200)
        rig.frames.offer_nowait(frame("c", 201))
        assert (rig.frames.queued_frames, rig.frames.queued_bytes) == (1, 201)
        assert rig.frames.dropped_frames == 2


def test_the_newest_waits_behind_one_that_is_torn_whatever_its_size():
    with Rig() as rig:
        rig.socket.room = 3
        rig.frames.offer_nowait(frame("a", 10))
        for name in "bc":
            rig.frames.offer_nowait(frame(name, 200))
        assert (rig.frames.queued_frames, rig.frames.queued_bytes) == (2, 207)
        assert rig.frames.dropped_frames == 1
        rig.take(10**6)
        assert rig.whole() == (["a", "c"], 0)


@pytest.mark.parametrize("puts", [1, 2])
def test_what_waits_for_us_holds_back_what_comes_behind_it(puts):
    with Rig() as rig:
        rig.socket.room = 10**6
        place = rig.frames.hold_nowait()
        for name in "ab"[:puts]:
            rig.frames.put_nowait(frame(name, 5))
        assert rig.socket.taken == b""
        assert rig.frames.queued_bytes == 5 * puts
        rig.frames.fill_nowait(place, frame("x", 4))
        assert rig.whole() == (["x", *"ab"[:puts]], 0)
        # A place is filled once.
        rig.frames.fill_nowait(place, frame("y", 4))
        rig.check()
        assert "y" not in rig.whole()[0]


def test_a_client_that_is_gone_is_sent_nothing_and_counts_nothing():
    with Rig() as rig:
        rig.frames.offer_nowait(frame("a", 10))

        tried = []

        def gone(data, flags):
            tried.append(data)
            raise ConnectionResetError

        rig.frames._send = gone
        rig.frames._flush_nowait()
        assert rig.frames.queued_bytes == rig.frames.queued_frames == 0
        for call in (rig.frames.offer_nowait, rig.frames.put_nowait):
            call(frame("b", 10))
        rig.frames.hold_nowait()
        assert not rig.frames._queue
        assert rig.frames.queued_bytes == rig.frames.queued_frames == 0
        assert rig.latency.count == 0
        assert len(tried) == 1, "it is not tried again"


@pytest.mark.parametrize("room", [0, 1, 5, 6])
async def test_control_bytes_are_whole_whatever_the_socket_takes_of_them(room):
    with Rig() as rig:
        rig.frames.upgraded(bytes)
        rig.socket.room = room
        pong = b"\x8a\x04pong"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.frames.send_all, pong)
            await trio.testing.wait_all_tasks_blocked()
            assert rig.socket.taken == pong[:room]
            assert rig.frames.queued_bytes == len(pong) - room
            # What was taken whole waits for nobody.
            assert len(nursery.child_tasks) == (room < len(pong))
            rig.frames.put_nowait(frame("a", 5))
            rig.take(10**6)
        assert rig.socket.taken == pong + frame("a", 5)
        rig.check()


@pytest.mark.parametrize("first", [0x81, 0x82, 0x89, 0x8A])
async def test_only_a_close_frame_is_the_last(first):
    with Rig() as rig:
        rig.frames.upgraded(bytes)
        rig.socket.room = 10**6
        await rig.frames.send_all(bytes([first, 0]))
        rig.frames.offer_nowait(frame("a", 5))
        await rig.frames.send_all(b"\x88\x00")
        rig.frames.offer_nowait(frame("b", 5))
        assert rig.socket.taken == bytes([first, 0]) + frame("a", 5) + b"\x88\x00"


@pytest.mark.parametrize(("size", "is_overfull"), [(10, False), (13, False), (14, True)])
def test_a_client_is_not_given_up_for_packets_that_may_be_dropped(size, is_overfull):
    """One that is torn and the newest may stay though they are more than may wait."""
    with Rig(max_frames=1, max_bytes=30) as rig:
        rig.socket.room = 3
        for name in "ab":
            rig.frames.offer_nowait(frame(name, 10))
        assert (rig.frames.queued_frames, rig.frames.queued_bytes) == (2, 17)
        rig.frames.put_nowait(frame("c", size))
        assert rig.frames._is_overfull == is_overfull


def test_a_frame_that_was_torn_and_is_finished_protects_none_behind_it():
    with Rig(max_bytes=10**6) as rig:
        rig.socket.room = 3
        for name in "abc":
            rig.frames.offer_nowait(frame(name, 10))
        rig.take(7)
        for name in "defg":
            rig.frames.offer_nowait(frame(name, 10))
        assert rig.frames.dropped_frames == 2
        rig.take(10**6)
        assert rig.whole() == (["a", "d", "e", "f", "g"], 0)


async def test_behind_a_close_frame_no_place_is_kept():
    with Rig() as rig:
        rig.frames.upgraded(bytes)
        rig.socket.room = 10**6
        await rig.frames.send_all(b"\x88\x00")
        place = rig.frames.hold_nowait()
        assert not rig.frames._queue
        rig.frames.fill_nowait(place, frame("a", 5))
        assert rig.socket.taken == b"\x88\x00"


@pytest.mark.parametrize("kind", ["offer_nowait", "put_nowait"])
@pytest.mark.parametrize("room", [0, 1, 9])
def test_when_a_client_is_given_up_the_frame_that_is_torn_is_finished(kind, room):
    with Rig(max_bytes=10**6) as rig:
        rig.frames.upgraded(bytes, lambda: None)
        rig.socket.room = room
        getattr(rig.frames, kind)(frame("a", 10))
        rig.frames.offer_nowait(frame("b", 10))
        rig.frames._give_up()
        rig.take(10**6)
        assert rig.whole() == (["a"] if room else [], 0)
