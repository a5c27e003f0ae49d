"""How far behind a client may fall: the arithmetic, and the queues on virtual time."""

from fractions import Fraction

import pytest
import trio

from phantomlink.close_codes import CLOSE_TOO_SLOW
from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket.asgi_client import QueueSink
from phantomlink.outputs.websocket.client_limits import ClientLimits, queue_packets
from phantomlink.settings import Settings
from phantomlink.settings.load import load_settings
from phantomlink.wire.encoder import WireFormat


@pytest.mark.parametrize(
    ("rate_hz", "packets"),
    [(40, 80), (1000, 2000), (Fraction(15, 2), 16), (1, 16), (Fraction(81, 10), 16)],
)
def test_two_seconds_of_packets_may_wait_and_sixteen_always(rate_hz, packets):
    assert queue_packets(Fraction(rate_hz)) == packets
    assert ClientLimits().packets_at(Fraction(rate_hz)) == packets


def test_the_limits_are_those_of_the_settings():
    assert ClientLimits.of(Settings()) == ClientLimits()
    settings = load_settings(
        {
            "client_queue_seconds": "0.5",
            "client_queue_packets": "3",
            "client_queue_bytes": "2000000",
            "client_behind_seconds": "7",
            "ping_interval_seconds": "5",
            "ping_timeout_seconds": "1",
        },
        {},
    )
    limits = ClientLimits.of(settings)
    assert limits == ClientLimits(0.5, 3, 2_000_000, 7.0, 5.0, 1.0)
    assert limits.packets_at(Fraction(40)) == 20
    assert limits.packets_at(Fraction(2)) == 3


def test_when_to_look_again():
    limits = ClientLimits(behind_seconds=2.0)
    assert limits.look_again_at(10.0, None) == 12.0
    assert limits.look_again_at(10.0, 9.0) == 11.0
    assert limits.look_again_at(10.0, 8.5) == 10.5
    assert limits.look_again_at(10.0, 8.0) is None
    assert limits.look_again_at(10.0, 1.0) is None


def test_what_is_current_is_less_than_what_is_behind():
    assert ClientLimits().current_seconds == 0.25
    assert ClientLimits(behind_seconds=0.1).current_seconds == 0.05


class FakeFrame:
    def __init__(self, payload):
        self.payload = payload


class FakeRelease:
    def __init__(self, payload):
        self._frame = FakeFrame(payload)

    def frame(self, wire_format):
        return self._frame


class StickyWebSocket:
    """Takes a message when it is told to; `send` cannot be cancelled."""

    def __init__(self):
        self.taken = []
        self.closed = None
        self.flowing = trio.Event()
        self.flowing.set()

    async def receive(self):
        await trio.sleep_forever()

    async def send(self, data):
        with trio.CancelScope(shield=True):
            await self.flowing.wait()
        self.taken.append(data)

    async def close(self, code, reason=""):
        await self.send(None)
        self.closed = (code, reason)

    def stop(self):
        self.flowing = trio.Event()


def queue_sink(**limits):
    sink = QueueSink(WireFormat.MSGPACK, ClientLimits(**limits), Histogram(), no_news, client_id=7)
    sink.max_packets = 4
    return sink


def offer(sink, *names):
    for name in names:
        sink.offer_nowait(FakeRelease(name))


async def no_news():
    return b"metadata"


def test_a_queue_is_bounded_in_packets_and_in_bytes_and_keeps_the_newest():
    sink = queue_sink()
    offer(sink, *(bytes([k]) * 10 for k in range(10)))
    assert sink.dropped == 6
    assert sink.backlog.queued_packets == 4
    assert sink.backlog.queued_bytes == 40
    sink = queue_sink(queue_bytes=25)
    offer(sink, *(bytes([k]) * 10 for k in range(10)))
    assert (sink.backlog.queued_packets, sink.backlog.queued_bytes, sink.dropped) == (2, 20, 8)
    offer(sink, b"x" * 100)
    assert (sink.backlog.queued_packets, sink.backlog.queued_bytes, sink.dropped) == (1, 100, 10)


async def test_a_client_that_hiccups_is_not_given_up(autojump_clock):
    sink, websocket = queue_sink(behind_seconds=2.0), StickyWebSocket()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.send_until_ended, websocket)
        with trio.move_on_after(60) as watching:
            async with trio.open_nursery() as watchers:
                watchers.start_soon(sink.until_too_slow)
                for _ in range(20):
                    websocket.stop()
                    offer(sink, b"a", b"b")
                    await trio.sleep(1.9)
                    websocket.flowing.set()
                    await trio.sleep(0.1)
                    assert sink.behind_since is None
        assert watching.cancelled_caught
        assert not sink.backlog.is_worth_telling
        nursery.cancel_scope.cancel()
    assert websocket.taken == [b"a", b"b"] * 20


@pytest.mark.parametrize("falls_behind_at", [0.0, 0.3, 1.999, 5.0])
async def test_the_deadline_is_exact(falls_behind_at, autojump_clock):
    sink, websocket = queue_sink(behind_seconds=2.0), StickyWebSocket()
    given_up_at = []

    async def watch():
        await sink.until_too_slow()
        given_up_at.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        started = trio.current_time()
        nursery.start_soon(sink.send_until_ended, websocket)
        nursery.start_soon(watch)
        await trio.sleep(falls_behind_at)
        websocket.stop()
        offer(sink, b"a")
        await trio.sleep(0.5)
        assert sink.backlog.behind_seconds == pytest.approx(0.5)
        await trio.sleep(9)
        nursery.cancel_scope.cancel()
        websocket.flowing.set()
    assert given_up_at == [pytest.approx(started + falls_behind_at + 2.0)]


async def test_one_that_is_given_up_is_told_when_it_reads_again(autojump_clock):
    sink, websocket = queue_sink(), StickyWebSocket()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.send_until_ended, websocket)
        await trio.testing.wait_all_tasks_blocked()
        websocket.stop()
        offer(sink, b"a")
        await trio.testing.wait_all_tasks_blocked()
        offer(sink, b"b", b"c")
        sink.give_up()
        sink.end(1000, "a later reason does not count")
        await trio.testing.wait_all_tasks_blocked()
        assert websocket.closed is None
        assert sink.was_given_up
        websocket.flowing.set()
    assert websocket.taken == [b"a", None]
    assert websocket.closed == (CLOSE_TOO_SLOW, "too slow: behind for 2 s, 2 packets dropped")


async def test_what_changes_the_stream_is_told_in_its_place_also_when_the_oldest_go(autojump_clock):
    sink, websocket = queue_sink(), StickyWebSocket()
    told = iter(range(10))

    def news():
        n = next(told)

        async def message():
            return b"news %d" % n

        return message()

    sink._news = news
    websocket.stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sink.send_until_ended, websocket)
        offer(sink, b"a")
        await trio.testing.wait_all_tasks_blocked()
        # One is being sent; of the others the oldest go, and the news stay where they are.
        offer(sink, b"b", b"c")
        sink.stream_changed()
        offer(sink, b"d", b"e")
        sink.stream_changed()
        offer(sink, b"f", b"g")
        sink.put_nowait(b"scored")
        assert sink.dropped == 2
        assert sink.backlog.queued_packets == 4
        websocket.flowing.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert websocket.taken == [b"a", b"news 0", b"d", b"e", b"news 1", b"f", b"g", b"scored"]
    assert sink.backlog.queued_bytes == 0
