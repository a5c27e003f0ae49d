import json

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.errors import BadHeadError, TooManySessionsError
from phantomlink.server.request_head import HeadReader, problem_bytes

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


def test_a_plain_upgrade_of_a_stream():
    raw = head(
        "/stream/a?trial_id=1",
        Origin="http://localhost:1",
        User_Agent="Mozilla/5.0",
        Sec_WebSocket_Protocol="x, phantomlink.v1.json",
        X_Forwarded_Host="lab.example, inner",
        X_Forwarded_Proto="https",
    )
    got = HeadReader().feed(raw + b"\x81\x80early frame")
    assert got.stream_request.path == "/stream/a"
    assert got.stream_request.query == "trial_id=1"
    assert got.stream_request.origin == "http://localhost:1"
    assert got.stream_request.user_agent == "Mozilla/5.0"
    assert got.stream_request.subprotocols == ("x", "phantomlink.v1.json")
    assert got.headers["x-forwarded-host"] == "lab.example, inner"
    assert got.headers["X-Forwarded-Proto"] == "https"


@given(st.data())
def test_a_head_in_pieces_is_the_same_head(data):
    raw = head()
    cut = data.draw(st.integers(1, len(raw) - 1))
    reader = HeadReader()
    assert reader.feed(raw[:cut]) is None
    assert reader.feed(raw[cut:]) == HeadReader().feed(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /stream/a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /api/sessions/create HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_everything_else_is_for_the_http_server(raw):
    assert HeadReader().feed(raw).stream_request is None


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (head("/docs"), 404),
        (head("http://localhost/stream/a"), 404),
        (head(method="POST", Content_Length="0"), 400),
        (head(version="1.0"), 400),
        (head(Connection="keep-alive"), 400),
        (head(Content_Length="5"), 400),
        (head(Transfer_Encoding="chunked"), 400),
        (head(Host="b\xfccher.example"), 400),
        (head(Origin="http://\xe9"), 400),
        (head(Sec_WebSocket_Protocol="caf\xe9"), 400),
        (head(Sec_WebSocket_Key="short"), 400),
        (head(Sec_WebSocket_Key="!" * 24), 400),
        (head(without=["Sec-WebSocket-Key"]), 400),
        (head(Sec_WebSocket_Version="8"), 426),
        (head(without=["Sec-WebSocket-Version"]), 426),
    ],
)  # fmt: skip
def test_what_is_not_plain_is_refused(raw, status):
    with pytest.raises(BadHeadError) as caught:
        HeadReader().feed(raw)
    assert caught.value.http_status == status
    assert problem_bytes(caught.value).startswith(b"HTTP/1.1 %d" % status)


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_refused_or_incomplete(raw):
    try:
        HeadReader().feed(raw)
    except BadHeadError as error:
        assert 400 <= error.http_status <= 505


def test_a_refusal_is_a_whole_problem_document():
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.receive_data(problem_bytes(TooManySessionsError("no room")))
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
