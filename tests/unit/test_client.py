"""The pure half of the client: addresses, messages, gaps, and when to come back."""

import ast
import re
import ssl
import sys

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from phantomlink.client.address import parse_address
from phantomlink.client.errors import (
    RefusedError,
    StreamClosedError,
    UnreachableError,
)
from phantomlink.client.request import make_request
from phantomlink.client.retry import Retry, explain
from phantomlink.client.session import Session
from tests.blocks import ROOT

HERE = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    monkeypatch.delenv("PHANTOM_URL", raising=False)
    monkeypatch.delenv("PHANTOM_API_TOKEN", raising=False)


def test_it_imports_websockets_msgpack_numpy_and_nothing_of_the_server():
    allowed = {"websockets", "msgpack", "numpy", *sys.stdlib_module_names}
    modules = sorted((ROOT / "phantomlink" / "client").rglob("*.py"))
    assert len(modules) > 8
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                assert top in allowed or f"{name}.".startswith("phantomlink.client."), module


# --- addresses and options


@pytest.mark.parametrize(
    ("text", "http_url", "code", "query"),
    [
        (None, HERE, None, {}),
        ("http://lab:9", "http://lab:9", None, {}),
        ("https://lab/phantom/", "https://lab/phantom", None, {}),
        ("ws://lab:9/stream/a-b?trial_id=3", "http://lab:9", "a-b", {"trial_id": "3"}),
        ("wss://lab/p/stream/binary/a", "https://lab/p", "a", {}),
    ],
)
def test_an_address_is_read(text, http_url, code, query):
    address = parse_address(text)
    assert (address.http_url, address.code, address.query) == (http_url, code, query)


def test_the_environment_names_server_and_token(monkeypatch):
    monkeypatch.setenv("PHANTOM_URL", "http://lab:9")
    monkeypatch.setenv("PHANTOM_API_TOKEN", "secret-token")
    address = parse_address(None)
    assert address.http_url == "http://lab:9"
    assert address.headers == {"Authorization": "Bearer secret-token"}
    assert "secret-token" not in repr(address)
    assert parse_address(HERE, "mine").headers == {"Authorization": "Bearer mine"}


@pytest.mark.parametrize("text", ["lab:9", "ftp://lab", "http://", "http://[::1", "http://a:b"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="takes http://host:port"):
        parse_address(text)


def test_only_this_machine_is_reached_without_a_proxy():
    local = ("http://127.0.0.2:1", "http://localhost:1", "http://[::1]:1", "http://a.localhost")
    assert all(parse_address(url).is_local for url in local)
    assert not any(parse_address(url).is_local for url in ("http://10.0.0.1", "http://lab"))


def test_options_become_the_query_and_the_session():
    request = make_request(
        None, "a", None, {"reach_id": 2, "hide": ["trial", "intention"], "scores": True, "speed": 2}
    )
    assert request.query == {"reach_id": "2", "hide": "trial,intention", "scores": "1"}
    assert request.options == {"speed": 2}
    there = Session("a", "http://lab:9", token="secret-token")
    request = make_request(None, there, None, {})
    assert (request.address, request.code) == (there.rest.address, "a")


def test_options_that_contradict_or_are_not_known_are_refused():
    with pytest.raises(TypeError, match=r"perturbaton: not known; perturbation\?"):
        make_request(None, None, None, {"perturbaton": "light"})
    with pytest.raises(ValueError, match="the URL names 'a'"):
        make_request("ws://lab/stream/a", "b", None, {})
    with pytest.raises(ValueError, match="private"):
        make_request(None, "b", None, {"private": True})
    with pytest.raises(ValueError, match="which names its own server"):
        make_request(HERE, Session("b"), None, {})
    with pytest.raises(ValueError, match="1 to 64 letters"):
        make_request(None, "b/c", None, {})


# --- coming back


def closed(code, reason=""):
    kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
    return explain(kind(Close(code, reason), None), HERE)


@pytest.mark.parametrize("code", [1001, 1009, 1011, 1012, 1013, 4408, 4410, 4411, 4412, 4999])
def test_it_comes_back_after(code):
    error = closed(code, "why it was")
    assert isinstance(error, StreamClosedError)
    assert error.may_pass
    assert str(code) in str(error)
    assert "why it was" in str(error)
    assert 0 < Retry(60).seconds_after(error, 0.0) < 1


def test_it_knows_every_code_that_the_page_has():
    page = (ROOT / "docs/guide/clients.md").read_text(encoding="utf-8")
    codes = [int(code) for code in re.findall(r"^\| (\d{4}) \|", page, re.MULTILINE)]
    assert len(codes) > 9
    assert [code for code in codes if "does not know" in str(closed(code))] == []
    again = re.findall(r"^\| (\d{4}) \|.*\| yes", page, re.MULTILINE)
    assert {int(code) for code in again} == {code for code in codes if closed(code).may_pass}


@pytest.mark.parametrize("code", [1000, 1008])
def test_it_does_not_come_back_after(code):
    with pytest.raises(StreamClosedError) as caught:
        Retry(None).seconds_after(closed(code), 0.0)
    assert caught.value.code == code


def test_a_connection_that_broke_is_opened_again():
    error = explain(ConnectionClosedError(None, None), HERE)
    assert (error.code, error.may_pass) == (1006, True)


def test_a_server_without_tls_is_named_as_one():
    error = explain(ssl.SSLError("WRONG_VERSION_NUMBER"), "https://127.0.0.1:8000")
    assert isinstance(error, UnreachableError)
    assert "by http:// or ws://" in str(error)


def test_a_session_that_moved_is_followed():
    request = make_request("http://lab:1", "a", None, {"reach_id": 2})
    request.moved(closed(4412, "ws://other:2/stream/a"))
    assert request.prepare() == "ws://other:2/stream/a?reach_id=2"
    request.moved(closed(4412, "nonsense"))
    request.moved(closed(1001, "ws://elsewhere:3/stream/a"))
    assert request.prepare() == "ws://other:2/stream/a?reach_id=2"


def status(code, body=b"", **headers):
    response = Response(code, "", Headers(headers), body)
    return explain(InvalidStatus(response), HERE)


def test_a_refusal_says_what_the_server_said():
    error = status(422, b'{"title": "Invalid", "detail": "trial_id: got x"}')
    assert isinstance(error, RefusedError)
    assert (error.status, error.detail, error.may_pass) == (422, "trial_id: got x", False)
    assert "trial_id: got x" in str(error)
    assert "PHANTOM_API_TOKEN" in str(status(401, b'{"detail": "no token"}'))
    for body in (b"<html>", b"[]", b"", b"\xff"):
        assert "503" in str(status(503, body))


def test_it_waits_for_as_long_as_the_server_asks():
    asked = status(503, **{"Retry-After": "5"})
    assert Retry(60).seconds_after(asked, 0.0) == 5
    assert Retry(60).seconds_after(status(503, **{"Retry-After": "soon"}), 0.0) < 1


def test_a_server_that_is_gone_is_waited_for_longer_every_time_and_not_for_ever():
    gone = explain(ConnectionRefusedError("refused"), HERE)
    assert isinstance(gone, UnreachableError)
    assert "phantomlink serve" in str(gone)
    retry, now, waits = Retry(30.0), 100.0, []
    with pytest.raises(UnreachableError):  # noqa: PT012
        while True:
            waits.append(retry.seconds_after(gone, now))
            now += waits[-1]
    assert sum(waits) <= 30
    assert all(
        0.5 * nominal <= wait <= nominal
        for wait, nominal in zip(waits[:3], (0.2, 0.4, 0.8), strict=True)
    )
    assert max(waits) <= 5
    retry.succeeded()
    assert retry.seconds_after(gone, now) <= 0.2


def test_the_first_connection_is_tried_once():
    with pytest.raises(UnreachableError):
        Retry(0.0).seconds_after(explain(OSError("gone"), HERE), 0.0)
