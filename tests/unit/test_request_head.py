import json

import h11
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.errors import BadHeadError, TooManySessionsError
from phantomlink.rest.response import error_response
from phantomlink.server.exchange import Exchange
from phantomlink.server.request_head import read_head, stream_request_of

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def head(path="/stream/a", *, method="GET", version="1.1", without=(), **more):
    headers = {
        "Host": "localhost:8000",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if name not in without]
    text = f"{method} {path} HTTP/{version}\r\n" + "".join(line + "\r\n" for line in lines)
    return (text + "\r\n").encode("latin-1")


class Pieces:
    """A connection from which these pieces can be read, and what is sent to it."""

    def __init__(self, *pieces):
        self._pieces = list(pieces)
        self.sent = b""

    async def receive_some(self, max_bytes=None):
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else b""

    async def send_all(self, data):
        await trio.lowlevel.checkpoint()
        self.sent += data


def exchange_of(*pieces, max_head_bytes=65536):
    return Exchange(Pieces(*pieces), b"", max_head_bytes)


async def read(*pieces):
    request = await exchange_of(*pieces).read_head()
    head = None if request is None else read_head(request)
    return head, None if head is None else stream_request_of(request, head)


async def test_a_plain_upgrade_of_a_stream():
    raw = head(
        "/stream/a?trial_id=1",
        Origin="http://localhost:1",
        User_Agent="Mozilla/5.0",
        Sec_WebSocket_Protocol="x, phantomlink.v1.json",
    )
    exchange = exchange_of(raw + b"\x81\x80early frame")
    request = await exchange.read_head()
    got = stream_request_of(request, read_head(request))
    assert (got.path, got.query) == ("/stream/a", "trial_id=1")
    assert (got.origin, got.user_agent) == ("http://localhost:1", "Mozilla/5.0")
    assert got.subprotocols == ("x", "phantomlink.v1.json")
    assert exchange.received[: exchange.n_head] == raw
    assert exchange.rest == b"\x81\x80early frame"


@pytest.mark.parametrize("path", ["/stream/a", "/stream/binary/a", "/view", "/view/a"])
async def test_streams_and_views_are_where_a_websocket_is_opened(path):
    got = (await read(head(path)))[1]
    assert (got.path, got.query, got.origin, got.user_agent) == (path, "", None, "")
    assert got.subprotocols == ()


@pytest.mark.parametrize("name", ["websocket", "WebSocket", "WEBSOCKET"])
async def test_names_of_upgrades_are_the_same_in_any_case(name):
    _, got = await read(head(Upgrade=name, Connection="keep-alive, UPGRADE"))
    assert got.path == "/stream/a"


@given(st.data())
async def test_a_head_in_pieces_is_the_same_head(data):
    raw = head()
    cut = data.draw(st.integers(1, len(raw) - 1))
    assert await read(raw[:cut], raw[cut:]) == await read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /stream/a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/sessions/create HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_everything_else_is_for_the_dispatch(raw):
    got, stream = await read(raw)
    assert got.path == raw.split()[1].decode()
    assert stream is None


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400),
        (b"POST / HTTP/1.0\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (head("/docs"), 404),
        (head("http://localhost/stream/a"), 404),
        (head("/views"), 404),
        (head(method="POST", Content_Length="0"), 400),
        (head(method="DELETE"), 400),
        (head(version="1.0"), 400),
        (head(Connection="keep-alive"), 400),
        (head(Content_Length="5"), 400),
        (head(Transfer_Encoding="chunked"), 400),
        (head(Host="b\xfccher.example"), 400),
        (head(Origin="http://\xe9"), 400),
        (head(Sec_WebSocket_Protocol="caf\xe9"), 400),
        (head(Sec_WebSocket_Key="short"), 400),
        (head(Sec_WebSocket_Key="!" * 24), 400),
        (head(Sec_WebSocket_Key="!" + KEY), 400),
        (head(Sec_WebSocket_Key="A" * 24), 400),
        (head(without=["Sec-WebSocket-Key"]), 400),
        (head(Sec_WebSocket_Version="8"), 426),
        (head(without=["Sec-WebSocket-Version"]), 426),
    ],
)  # fmt: skip
async def test_what_is_not_plain_is_refused(raw, status):
    with pytest.raises(BadHeadError) as caught:
        await read(raw)
    assert caught.value.http_status == status


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (head("/" + "a" * 100), f"no WebSocket at '/{'a' * 79}'"),
        (head(Sec_WebSocket_Version="8" * 30), f"Version: got '{'8' * 20}', takes 13"),
    ],
)
async def test_a_refusal_quotes_the_beginning_of_what_is_long(raw, said):
    with pytest.raises(BadHeadError) as caught:
        await read(raw)
    assert str(caught.value).endswith(said)


@pytest.mark.parametrize("name", ["Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version"])
@pytest.mark.parametrize("value", ["same", "other"])
async def test_a_header_that_decides_who_comes_in_is_there_once(name, value):
    """Which of two counts, the next one to read them might see in another way."""
    value = {"Host": "localhost:8000", "Origin": "http://localhost", "Sec-WebSocket-Key": KEY,
             "Sec-WebSocket-Version": "13"}[name] if value == "same" else "x"  # fmt: skip
    plain = head(Origin="http://localhost")
    twice = plain.replace(b"\r\n\r\n", f"\r\n{name}: {value}\r\n\r\n".encode())
    assert (await read(plain))[1] is not None
    with pytest.raises(BadHeadError) as caught:
        await read(twice)
    assert caught.value.http_status == 400


@given(st.binary(max_size=300))
async def test_whatever_comes_is_read_refused_or_incomplete(raw):
    try:
        await read(raw)
    except BadHeadError as error:
        assert 400 <= error.http_status <= 505


async def test_a_refusal_is_a_whole_problem_document():
    exchange = exchange_of(b"nonsense\r\n\r\n")
    with pytest.raises(BadHeadError):
        await exchange.read_head()
    refusal = error_response(TooManySessionsError("no room"))
    assert not await exchange.send(refusal.with_headers((("Connection", "close"),)))
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.receive_data(exchange._stream.sent)
    response, data = client.next_event(), client.next_event()
    assert response.status_code == 503
    headers = dict(response.headers)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"retry-after"] == b"5"
    assert headers[b"connection"] == b"close"
    assert json.loads(bytes(data.data)) == {
        "type": "about:blank",
        "title": "Too many sessions",
        "status": 503,
        "detail": "no room",
    }
