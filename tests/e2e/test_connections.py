"""One connection, many requests: whose it is when, and how it ends."""

import json
import logging
import socket
import struct

import pytest
import trio

from phantomlink.server import exchange
from phantomlink.server import front as server
from phantomlink.settings import Settings
from tests.front import ROUTES, create, request


async def test_a_connection_is_kept_open(front):
    async with front.client() as client:
        for n in range(3):
            for path in ROUTES:
                assert (await client.ask(path))[0] == 200
            await client.stream.send_all(create(f"new-{n}"))
            assert json.loads((await client.answer())[2])["created"]
            assert (await client.ask("/api/metadata"))[0] == 200


async def test_a_stream_may_follow_on_the_same_connection(front):
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    async with front.client() as client:
        await client.stream.send_all(create("b"))
        assert (await client.answer())[0] == 200
        assert (await client.ask("/health"))[0] == 200
        await client.stream.send_all(request("/stream/b", upgrade))
        assert (await client.stream.receive_some(12)) == b"HTTP/1.1 101"
        # The first message comes behind the upgrade, and the first packet behind that.
        with trio.fail_after(20):
            data = b""
            while b"sequence_number" not in data:
                data = bytes(await client.stream.receive_some(65536))


async def test_pipelined_requests_are_answered_in_order(front):
    asked = [
        request("/livez"),
        request("/api/stats/a"),
        request("/health", method="HEAD"),
        request("/nope"),
        request("/api/sessions/a"),
        create("piped"),
        request("/api/stats/piped"),
        request("/livez"),
    ]
    methods = ["GET", "GET", "HEAD", *["GET"] * 5]
    for sent in (b"".join(asked[:3]), b"".join(asked)):
        async with front.client() as client:
            await client.stream.send_all(sent)
            got = [
                await client.answer(method)
                for method, _ in zip(methods, range(sent.count(b" HTTP/1.1\r\n")), strict=False)
            ]
        assert [status for status, _, _ in got] == [200, 200, 200, 404, 200, 200, 200, 200][
            : len(got)
        ]
        assert json.loads(got[1][2])["session_code"] == "a"
        assert got[2][2] == b""
    assert json.loads(got[5][2])["session_code"] == "piped"
    assert json.loads(got[6][2])["session_code"] == "piped"


@pytest.mark.parametrize("size", [1, 7])
async def test_requests_may_come_in_pieces(front, size):
    sent = request("/livez") + create("p") + request("/api/stats/p") + request("/livez")
    async with front.client() as client:
        for at in range(0, len(sent), size):
            await client.stream.send_all(sent[at : at + size])
            await trio.lowlevel.checkpoint()
        assert [(await client.answer())[0] for _ in range(4)] == [200] * 4


async def test_close_closes_after_the_answer(front):
    async with front.client() as client:
        status, headers, body = await client.ask("/livez", "Connection: close\r\n")
        assert (status, body) == (200, b'{"status":"alive"}')
        assert (b"Connection", b"close") in headers
        assert await client.answer() is None


async def test_a_half_closed_connection_has_its_answers(front):
    async with front.client() as client:
        await client.stream.send_all(request("/health") + request("/api/stats/a"))
        await client.stream.send_eof()
        assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
        assert await client.answer() is None


async def test_clients_that_leave_in_the_middle_disturb_nobody(front, caplog):
    for sent in (request("/livez")[:20], request("/metrics") * 50, request("/livez") + b"GET /h"):
        for reset in (False, True):
            async with front.client() as client:
                await client.stream.send_all(sent)
                if reset:
                    client.stream.socket.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("begun", [b"", b"GET /livez HTTP/1.1\r\nHost"])
async def test_a_connection_that_waits_too_long_is_closed(front, monkeypatch, begun):
    monkeypatch.setattr(server, "_HEAD_SECONDS", 1000)
    monkeypatch.setattr(server, "_KEEP_ALIVE_SECONDS", 0.05)
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
        if begun:
            await client.stream.send_all(begun)
        with trio.fail_after(20):
            assert await client.answer() is None


async def test_a_head_is_bounded(front):
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
        await client.stream.send_all(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 100_000)
        assert (await client.answer())[0] == 431
        assert await client.answer() is None


async def test_an_answer_that_nobody_reads_is_given_up(front, monkeypatch):
    monkeypatch.setattr(exchange, "_PIECE_SECONDS", 0.05)
    async with front.client() as client:
        # Answers to more than the kernel holds for a client that reads nothing.
        asked = request("/metrics") * 50_000
        with pytest.raises(trio.BrokenResourceError):
            await client.stream.send_all(asked)


async def test_waiting_connections_end_when_the_server_goes(front, monkeypatch):
    monkeypatch.setattr(front.server, "_settings", Settings(grace_seconds=1000))
    monkeypatch.setattr(server, "_HEAD_SECONDS", 1000)
    monkeypatch.setattr(server, "_KEEP_ALIVE_SECONDS", 1000)
    async with front.client() as kept, front.client() as new, front.client() as other:
        assert (await kept.ask("/livez"))[0] == 200
        assert (await other.ask("/api/metadata"))[0] == 200
        await new.stream.send_all(b"GET /li")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await front.server.say_goodbye()
        for client in (kept, new, other):
            assert await client.answer() is None
