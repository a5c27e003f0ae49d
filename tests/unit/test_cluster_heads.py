"""What the process that listens reads of a first request."""

import h11
import pytest

from phantomlink.cluster.heads import FirstHead, first_head
from phantomlink.cluster.relay_header import NAME

HOST = b"Host: a\r\n"


@pytest.mark.parametrize("more", [b"", b"{}", b"GET / HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize(
    ("first_line", "told"),
    [
        (b"GET /stream/a?format=json&x=1 HTTP/1.1", ("GET", "/stream/a", "format=json&x=1")),
        (b"POST /api/control/a%20b/pause HTTP/1.1", ("POST", "/api/control/a%20b/pause", "")),
        (b"GET /a?b?c HTTP/1.1", ("GET", "/a", "b?c")),
        (b"get /a HTTP/1.1", ("get", "/a", "")),
        (b"GET /a HTTP/1.0", ("GET", "/a", "")),
    ],
)
def test_method_path_and_query(first_line, told, more):
    fields = HOST + b"Upgrade:websocket\r\nX-Empty: \r\n"
    received = first_line + b"\r\n" + fields + b"\r\n" + more
    assert first_head(received, 1000) == FirstHead(received, *told)


@pytest.mark.parametrize("name", [NAME, NAME.lower(), NAME.upper()])
def test_what_another_node_says(name):
    received = b"GET /a HTTP/1.1\r\n" + HOST + name.encode() + b":  signed \r\n\r\n"
    head = first_head(received, 1000)
    assert head is not None
    assert (head.path, head.relay) == ("/a", "signed")


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"GET /a HTTP/1.1\r\n",
        b"GET /a HTTP/1.1\r\n" + HOST,
        b"GET /a HTTP/1.1\r\n" + HOST + b"\r",
    ],
)
def test_one_that_is_not_complete(received):
    assert first_head(received, 1000) is None


@pytest.mark.parametrize(
    "received",
    [
        b"GET /a HTTP/1.1\r\n" + HOST + b"No colon\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /a HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
        b"GET /a HTTP/1.1\r\n" + HOST + b"A: b\0c\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",
        "GET /ä HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    ],
)
def test_one_that_cannot_be_read(received):
    with pytest.raises(h11.RemoteProtocolError):
        first_head(received, 1000)
