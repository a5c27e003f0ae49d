"""Requests that two parsers might read in two ways, and bodies that look like requests."""

import pytest
import trio

from tests.front import LOCAL_ORIGIN, request

INNER = "GET /api/stats/a HTTP/1.1\r\nHost: x\r\n\r\n"
SHAPES = {
    "a body that looks like a request": (
        request("/livez", f"Content-Length: {len(INNER)}\r\n", body=INNER), [200],
    ),
    "a chunked body that looks like one": (
        request("/livez", "Transfer-Encoding: chunked\r\n",
                body=f"{len(INNER):x}\r\n{INNER}\r\n0\r\n\r\n"), [200],
    ),
    "a length and chunks": (
        request("/livez", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                body="0\r\n\r\n"), [400],
    ),
    "two lengths": (
        request("/livez", "Content-Length: 0\r\nContent-Length: 40\r\n", body=INNER), [400],
    ),
    "an obsolete fold": (request("/livez", "X: a\r\n Content-Length: 5\r\n"), [200]),
    "a space before the colon": (request("/livez", "Content-Length : 5\r\n", body=INNER), [400]),
    "HTTP/1.0": (b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n", [200]),
    "the absolute form": (request("http://localhost/livez"), [404]),
    "a percent": (request("/live%7a"), [200]),
    "an upgrade to HTTP/2": (
        request("/livez", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                          "HTTP2-Settings: AAMAAABkAAQAAP__\r\n"), [200],
    ),
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n" + INNER.encode(), [400]),
    "two hosts": (request("/livez", "Host: b\r\n", body=INNER), [400]),
    "another method": (request("/livez", method="DELETE"), [405]),
    "a preflight": (
        request("/livez", LOCAL_ORIGIN + "Access-Control-Request-Method: GET\r\n",
                method="OPTIONS"),
        [204],
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("after", ["nothing", "another request"])
async def test_a_request_is_one_request(front, monkeypatch, shape, after):
    """Nothing in it is taken for another request, and nobody falls."""
    answered = []
    answer = front.app.dispatch

    async def note(head, read_body):
        answered.append(head.path)
        return await answer(head, read_body)

    monkeypatch.setattr(front.app, "dispatch", note)
    raw, statuses = SHAPES[shape]
    async with front.client() as client:
        if after != "nothing":
            assert (await client.ask("/readyz"))[0] == 200
        await client.stream.send_all(raw)
        await client.stream.send_eof()
        data = b""
        with trio.move_on_after(1):
            while more := bytes(await client.stream.receive_some(65536)):
                data += more
    got = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
    assert got == statuses, data
    assert "/api/stats/a" not in answered
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200


async def test_what_only_looks_like_a_request_is_none(front):
    looks = b"GET /livez HTTP/1.1\r\n\r\n"
    async with front.client() as client:
        # As the body of a request, in a segment of its own.
        length = f"Content-Length: {len(looks)}\r\n"
        await client.stream.send_all(request("/api/control/a/seek", length, method="POST"))
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.stream.send_all(looks)
        status, _, body = await client.answer()
        assert status == 422
        assert b"not JSON" in body
        # As the end of a header.
        await client.stream.send_all(b"GET /nope HTTP/1.1\r\nHost: localhost\r\nX: ")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.stream.send_all(looks)
        assert (await client.answer())[0] == 404
        with trio.move_on_after(0.2):
            assert not await client.answer()


async def test_a_body_that_waits_to_be_asked_for_is_asked_for(front):
    head = "Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    async with front.client() as client:
        await client.stream.send_all(request("/api/control/a/pause", head, method="POST"))
        assert (await client.stream.receive_some(12)) == b"HTTP/1.1 100"
        await client.stream.send_all(b"{}")
        data = b""
        while b"paused" not in data:
            data += bytes(await client.stream.receive_some(65536))


async def test_nonsense_after_an_answer_is_refused(front):
    async with front.client() as client:
        assert (await client.ask("/livez"))[0] == 200
        await client.stream.send_all(b"\x16\x03\x01\r\n\r\n")
        status, headers, _ = await client.answer()
        assert status == 400
        assert dict(headers)[b"content-type"] == b"application/problem+json"
        assert await client.answer() is None
