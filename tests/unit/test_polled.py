"""Which requests are answered without the framework; all others are the framework's to judge."""

import pytest

from phantomlink.rest import polled
from phantomlink.rest.polled import find_call, looks_polled

HOST = (b"host", b"localhost")


def found(target="/health", *headers, method="GET", version="1.1"):
    return find_call(method, version, target, [HOST, *headers])


@pytest.mark.parametrize(
    ("target", "view", "code"),
    [
        ("/health", polled.health, ""),
        ("/livez?", polled.livez, ""),
        ("/readyz?x=1", polled.readyz, ""),
        ("/metrics", polled.metrics, ""),
        ("/api/stats", polled.totals, ""),
        ("/api/sessions", polled.sessions, ""),
        ("/api/stats/a", polled.stats, "a"),
        ("/api/stats/timing", polled.stats, "timing"),
        ("/api/control/a-b_1/position", polled.position, "a-b_1"),
        ("/api/sessions/a/timing", polled.timing, "a"),
        ("/api/sessions/timing", polled.session, "timing"),
        ("/api/sessions/a.b", polled.session, "a.b"),
    ],
)
def test_a_plain_request_is_found(target, view, code):
    for method in ("GET", "HEAD"):
        call = found(target, method=method)
        assert (call.view, call.code, call.method, call.origin) == (view, code, method, None)
        assert call.path == target.partition("?")[0]
        line = f"{method} {target} HTTP/1.1\r\n".encode()
        assert looks_polled(line)
        assert looks_polled(line + b"Host: x\r\n\r\nGET /nope HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "target",
    [
        "", "/", "*", "health", "/health/", "//health", "/Health", "/healthz", "/api/stats/",
        "/api/stats//a", "/api/stats/a/", "/api/stats/a/b", "/api/control/position",
        "/api/control//position", "/api/control/a/b/position", "/api/sessions//timing",
        "/api/metadata", "/%68ealth", "/health%20", "/api/stats/a%2Fb", "/health?a=%20",
        "/health?a+b", "/health?a?b", "/health?a;b", "/health#a", "/api/stats/caf\xe9",
        "http://localhost/health", "/health\n", "/docs", "/stream/a", "/api/stats/a:b",
    ],
)  # fmt: skip
def test_a_path_or_query_that_is_not_plain_is_left_to_the_framework(target):
    assert found(target) is None


@pytest.mark.parametrize(
    "header",
    [
        (b"content-length", b"0"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"expect", b"100-continue"),
        (b"upgrade", b"h2c"),
        (b"upgrade", b"websocket"),
        (b"origin", b"http://b\xfccher"),
    ],
)
def test_a_request_that_says_more_is_left_to_the_framework(header):
    assert found("/health", (b"accept", b"*/*"), (b"user-agent", b"x")) is not None
    assert found("/health", header) is None


def test_two_origins_other_methods_and_other_versions_are_left_to_the_framework():
    origin = (b"origin", b"http://localhost:3")
    assert found("/health", origin).origin == "http://localhost:3"
    assert found("/health", origin, origin) is None
    for method in ("POST", "OPTIONS", "DELETE", "get", "TRACE"):
        assert found(method=method) is None
    for version in ("1.0", "2", "3", "0.9"):
        assert found(version=version) is None


@pytest.mark.parametrize(
    "accept", [b"text/plain", b"TEXT/*;q=0.1", b"application/openmetrics-text"]
)
def test_metrics_are_text_for_who_names_it(accept):
    as_json = found("/metrics").view
    assert found("/metrics", (b"accept", accept)).view is not as_json
    for usual in (b"*/*", b"application/json", b""):
        assert found("/metrics", (b"accept", usual)).view is as_json
    # Two headers are one list (RFC 9110, 5.3).
    both = found("/metrics", (b"accept", b"application/json;q=0.01"), (b"accept", accept))
    assert both.view is not as_json


def test_the_query_is_read_where_it_counts():
    def form(query):
        return found(f"/api/sessions/a/timing?{query}").parameters.query.get("format")

    assert form("format=text") == ["text"]
    assert form("x=1&format=text&format=json") == ["text", "json"]
    assert form("format=") == [""]
    assert form("format") == [""]
    assert form("x=1") is None


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GET /heal", b"GET /health", b"POST /health HTTP/1.1\r\n",
        b"x\r\nGET /health HTTP/1.1",
        b"GET /health HTTP/1.0\r\n", b"GET  /health HTTP/1.1\r\n", b"GET /nope HTTP/1.1\r\n",
        b"GET http://a/health HTTP/1.1\r\n", b"\r\nGET /health HTTP/1.1\r\n",
    ],
)  # fmt: skip
def test_other_bytes_do_not_look_polled(data):
    assert not looks_polled(data)
