"""What one node proves to another when it passes a request on."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.cluster.relay_header import (
    CLIENT,
    MAX_AGE_SECONDS,
    NAME,
    Relayed,
    signed,
    verified,
    with_header,
)

SECRET = "0123456789abcdef"
SAID = Relayed("a", 1_000_000, CLIENT, "192.0.2.7")


def check(value, method="GET", target="/api/sessions/s?x=1", secret=SECRET, now=1_000_000):
    return verified(value, method, target, secret, now)


def test_what_was_signed_is_believed_for_a_while():
    value = signed(SAID, "GET", "/api/sessions/s?x=1", SECRET)
    assert check(value) == SAID
    assert check(value, now=1_000_000 + MAX_AGE_SECONDS) == SAID
    assert check(value, now=1_000_000 - MAX_AGE_SECONDS) == SAID


@pytest.mark.parametrize(
    "other",
    [
        {"method": "DELETE"},
        {"target": "/api/sessions/t?x=1"},
        {"secret": "another-secret-of-16"},
        {"now": 1_000_001 + MAX_AGE_SECONDS},
    ],
)
def test_anything_else_is_not(other):
    value = signed(SAID, "GET", "/api/sessions/s?x=1", SECRET)
    assert check(value, **other) is None
    assert check(value.replace("192.0.2.7", "192.0.2.8")) is None


@given(st.text())
def test_what_a_client_makes_up_is_not(value):
    assert check(value) is None


def head_of(data):
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    return dict(parser.next_event().headers)


def test_the_header_is_added_and_the_connection_ends_with_the_answer():
    request = (
        b"POST /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
    )
    stays = with_header(request, "v", closes=False)
    assert head_of(stays)[b"connection"] == b"keep-alive"
    ends = with_header(request, "v", closes=True)
    assert head_of(ends) == {
        b"host": b"h",
        b"content-length": b"2",
        b"connection": b"close",
        NAME.lower().encode(): b"v",
    }
    assert ends.endswith(b"\r\n\r\nhi")
