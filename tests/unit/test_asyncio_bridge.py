"""The bridge between the loops, with toy applications: order, backpressure, errors, ends."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
import sniffio
import trio

from phantomlink.asgi.asyncio_bridge import AsyncioBridge, BridgeError

SECONDS = 20


class ToyServer:
    """An asyncio server of one application: a lifespan, and calls within it."""

    def __init__(self, app):
        self.bridge = AsyncioBridge(app)
        self.told = asyncio.Queue()
        self.sent = asyncio.Queue()
        self.lifespan = None

    async def __aenter__(self):
        self.lifespan = asyncio.create_task(
            self.bridge({"type": "lifespan"}, self.told.get, self.sent.put)
        )
        await self.told.put({"type": "lifespan.startup"})
        assert await self.sent.get() == {"type": "lifespan.startup.complete"}
        return self

    async def __aexit__(self, *_):
        await self.told.put({"type": "lifespan.shutdown"})
        assert await self.sent.get() == {"type": "lifespan.shutdown.complete"}
        # As it was sent, not some time after: servers cancel what is left then.
        assert not bridge_threads()
        await self.lifespan

    def call(self, receive, send):
        return asyncio.create_task(self.bridge({"type": "http"}, receive, send))


def bridge_threads():
    return [thread for thread in threading.enumerate() if thread.name == "phantomlink-trio"]


def with_lifespan(answer):
    """An application whose requests are served by `answer(receive, send)`."""

    async def app(scope, receive, send):
        assert sniffio.current_async_library() == "trio"
        if scope["type"] == "lifespan":
            assert (await receive())["type"] == "lifespan.startup"
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await answer(receive, send)

    return app


def run(main):
    """Run `main()` on asyncio in a thread of its own, beside the Trio loop of the tests."""

    async def within():
        await asyncio.wait_for(main(), SECONDS)

    asyncio.run(within())
    assert not bridge_threads()


async def nothing_comes():
    await asyncio.Event().wait()


async def ignore(_event):
    await asyncio.sleep(0)


def test_events_come_in_order_and_none_is_lost_either_way():
    async def echo(receive, send):
        while (event := await receive()) is not None:
            await send(event)

    async def main():
        async with ToyServer(with_lifespan(echo)) as server:
            calls = []
            for start in (0, 1000, 2000):
                inbox, outbox = asyncio.Queue(), []
                for k in [*range(start, start + 300), None]:
                    inbox.put_nowait(k)

                async def keep(event, outbox=outbox):
                    await asyncio.sleep(0)
                    outbox.append(event)

                calls.append((start, outbox, server.call(inbox.get, keep)))
            for start, outbox, call in calls:
                await call
                assert outbox == list(range(start, start + 300))

    run(main)


def test_a_server_that_takes_no_more_holds_the_application():
    sent = []

    async def talk(_receive, send):
        for k in range(100):
            sent.append(k)
            await send(k)

    async def main():
        async with ToyServer(with_lifespan(talk)) as server:
            room = asyncio.Semaphore(3)
            taken = []

            async def take(event):
                await room.acquire()
                taken.append(event)

            call = server.call(nothing_comes, take)
            await asyncio.sleep(0.2)
            # Three were taken; a fourth is on its way, and the application waits for it.
            assert taken == [0, 1, 2]
            assert sent == [0, 1, 2, 3]
            for _ in range(97):
                room.release()
            await call
            assert taken == list(range(100))

    run(main)


def test_an_application_that_does_not_receive_holds_the_server():
    go_on = threading.Event()
    got = []

    async def hesitate(receive, _send):
        got.append(await receive())
        await trio.to_thread.run_sync(go_on.wait)
        for _ in range(4):
            got.append(await receive())

    async def main():
        async with ToyServer(with_lifespan(hesitate)) as server:
            inbox = asyncio.Queue()
            for k in range(5):
                inbox.put_nowait(k)
            call = server.call(inbox.get, ignore)
            await asyncio.sleep(0.2)
            assert inbox.qsize() == 4  # nothing is taken that was not asked for
            go_on.set()
            await call
            assert got == [0, 1, 2, 3, 4]

    run(main)


def test_what_the_application_raises_the_server_gets():
    async def fail(receive, _send):
        await receive()
        raise ZeroDivisionError("a bug")

    async def main():
        async with ToyServer(with_lifespan(fail)) as server:
            inbox = asyncio.Queue()
            inbox.put_nowait({})
            with pytest.raises(ZeroDivisionError, match="a bug"):
                await server.call(inbox.get, ignore)

    run(main)


def test_what_the_server_raises_the_application_gets():
    caught = []

    async def answer(_receive, send):
        try:
            await send({})
        except ConnectionResetError as error:
            caught.append(error)

    async def refuse(_event):
        raise ConnectionResetError("the client is gone")

    async def main():
        async with ToyServer(with_lifespan(answer)) as server:
            await server.call(nothing_comes, refuse)

    run(main)
    assert str(caught[0]) == "the client is gone"


def test_a_disconnect_ends_a_call_that_waits_for_it():
    ended = []

    async def until_gone(receive, send):
        async with trio.open_nursery() as nursery:

            async def watch():
                while (await receive())["type"] != "http.disconnect":
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                while True:
                    await send({})
                    await trio.sleep(0.001)
            finally:
                ended.append(True)

    async def main():
        async with ToyServer(with_lifespan(until_gone)) as server:
            inbox = asyncio.Queue()
            call = server.call(inbox.get, ignore)
            await asyncio.sleep(0.05)
            assert not call.done()
            inbox.put_nowait({"type": "http.disconnect"})
            await call

    run(main)
    assert ended == [True]


def test_an_event_that_comes_after_its_receive_was_cancelled_is_kept():
    got = []

    async def impatient(receive, _send):
        for _ in range(5):
            with trio.move_on_after(0.02):
                await receive()
                raise AssertionError("nothing was there yet")
        got.append(await receive())
        got.append(await receive())

    async def main():
        async with ToyServer(with_lifespan(impatient)) as server:
            inbox = asyncio.Queue()
            call = server.call(inbox.get, ignore)
            await asyncio.sleep(0.3)
            inbox.put_nowait("first")
            inbox.put_nowait("second")
            await call

    run(main)
    assert got == ["first", "second"]


def test_a_send_behind_one_that_was_cancelled_waits_its_turn():
    at_once = []

    async def impatient(_receive, send):
        with trio.move_on_after(0.02):
            await send("slow")
        await send("next")

    async def main():
        async with ToyServer(with_lifespan(impatient)) as server:
            taken = []

            async def take(event):
                at_once.append(event)
                assert len(at_once) == 1
                await asyncio.sleep(0.1)
                at_once.remove(event)
                taken.append(event)

            await server.call(nothing_comes, take)
            assert taken == ["slow", "next"]

    run(main)


def test_a_call_that_the_server_cancels_is_cancelled_and_ends_first():
    ended = []

    async def stay(_receive, _send):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
            ended.append(True)

    async def main():
        async with ToyServer(with_lifespan(stay)) as server:
            call = server.call(nothing_comes, ignore)
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert ended == [True]

    run(main)


def test_calls_that_are_open_at_the_end_of_the_lifespan_end_with_it():
    async def stay(_receive, _send):
        await trio.sleep_forever()

    async def main():
        async with ToyServer(with_lifespan(stay)) as server:
            calls = [server.call(nothing_comes, ignore) for _ in range(5)]
            await asyncio.sleep(0.05)
        await asyncio.gather(*calls)

    run(main)


def test_a_lifespan_that_is_cancelled_ends_its_thread():
    async def main():
        server = ToyServer(with_lifespan(None))
        await server.__aenter__()
        server.lifespan.cancel()
        with pytest.raises(asyncio.CancelledError):
            await server.lifespan
        assert not bridge_threads()

    run(main)


def test_a_lifespan_that_fails_says_why_and_leaves_no_thread():
    async def app(_scope, receive, _send):
        await receive()
        raise RuntimeError("cannot start")

    async def main():
        bridge = AsyncioBridge(app)
        told = asyncio.Queue()
        told.put_nowait({"type": "lifespan.startup"})
        with pytest.raises(RuntimeError, match="cannot start"):
            await bridge({"type": "lifespan"}, told.get, ignore)
        assert not bridge_threads()
        with pytest.raises(BridgeError):
            await bridge({"type": "http"}, told.get, ignore)

    run(main)


def test_it_says_once_that_another_worker_is_faster(caplog):
    async def nothing(_receive, _send):
        await trio.lowlevel.checkpoint()

    async def main():
        async with ToyServer(with_lifespan(nothing)) as server:
            await asyncio.gather(*(server.call(nothing_comes, ignore) for _ in range(3)))

    run(main)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "--worker-class trio" in caplog.text


def test_waiting_costs_no_time():
    async def stay(receive, _send):
        await receive()

    async def main():
        async with ToyServer(with_lifespan(stay)) as server:
            inbox = asyncio.Queue()
            calls = [server.call(inbox.get, ignore) for _ in range(20)]
            await asyncio.sleep(0.2)
            before = time.process_time()
            await asyncio.sleep(1.0)
            assert time.process_time() - before < 0.3
            for _ in calls:
                inbox.put_nowait({})
            await asyncio.gather(*calls)

    run(main)


@pytest.mark.parametrize("server_has_a_handler", [False, True])
def test_of_a_task_that_has_failed_the_log_has_no_value(caplog, server_has_a_handler):
    said, sent = [], b"horse\xff"

    async def decode():
        sent.decode("ascii")

    async def main():
        loop = asyncio.get_running_loop()
        if server_has_a_handler:
            loop.set_exception_handler(lambda loop, context: said.append(context))
        async with ToyServer(with_lifespan(None)):
            failing = asyncio.create_task(decode())
            await asyncio.wait([failing])
            # What nobody has taken is told of when the task goes.
            del failing
            gc.collect()

    run(main)
    if server_has_a_handler:
        assert [sorted(context) for context in said] == [["exception", "message"]]
    else:
        assert "Task exception was never retrieved" in caplog.text
        assert "UnicodeDecodeError" in caplog.text
        assert "horse" not in caplog.text
