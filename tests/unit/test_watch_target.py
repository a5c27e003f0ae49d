"""What a person types after `phantomlink watch`, as the addresses that are asked."""

import pytest

from phantomlink.errors import InvalidParameterError, SettingsError
from phantomlink.watch.target import parse_target


@pytest.mark.parametrize(
    ("text", "url", "api_url", "code", "wanted"),
    [
        ("my-code", "ws://127.0.0.1:8000/stream/my-code", "http://127.0.0.1:8000", "my-code", {}),
        ("ws://h:9/stream/a?format=json", None, "http://h:9", "a", {}),
        ("wss://h/stream/binary/a_1", None, "https://h", "a_1", {}),
        ("ws://h/x/stream/a?trial_id=7", None, "http://h/x", "a", {"trial_id": 7}),
        ("ws://h/stream/a?trial_id=x&reach_id=2", None, "http://h", "a", {"reach_id": 2}),
        ("http://h:9/stream/a", "ws://h:9/stream/a", "http://h:9", "a", {}),
        ("ws://[::1]:9/stream/a", None, "http://[::1]:9", "a", {}),
    ],
)
def test_targets(text, url, api_url, code, wanted):
    target = parse_target(text, env={})
    assert target.url == (url or text)
    assert target.api_url == api_url
    assert target.code == code
    assert target.filter == wanted
    assert not target.made_up


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("http://h:9", "ws://h:9/stream/watch-"),
        ("https://h/", "wss://h/stream/watch-"),
        ("ws://h:9", "ws://h:9/stream/watch-"),
        ("http://h/lab/", "ws://h/lab/stream/watch-"),
    ],
)
def test_a_server_gets_a_session_of_our_own(text, before):
    first, second = parse_target(text, env={}), parse_target(text, env={})
    assert first.url == before + first.code.removeprefix("watch-")
    assert first.made_up
    assert first.code != second.code


@pytest.mark.parametrize("named", ["http://lab:9", "http://lab:9/", "ws://lab:9/stream/other"])
def test_the_server_that_the_environment_names(named):
    env = {"PHANTOM_URL": named, "PHANTOM_PORT": "1"}
    assert parse_target("my-code", env=env).url == "ws://lab:9/stream/my-code"
    assert parse_target(None, env=env).api_url == "http://lab:9"
    assert parse_target("http://h:9", env=env).api_url == "http://h:9"


def test_a_filter_goes_with_a_server_too():
    target = parse_target("http://h:9?trial_id=3", env={})
    assert target.url.endswith("?trial_id=3")
    assert target.filter == {"trial_id": 3}


@pytest.mark.parametrize(
    ("env", "netloc"),
    [
        ({"PHANTOM_PORT": "9100"}, "127.0.0.1:9100"),
        ({"PHANTOM_HOST": "10.0.0.7"}, "10.0.0.7:8000"),
        ({"PHANTOM_HOST": "0.0.0.0", "PHANTOM_PORT": "81"}, "127.0.0.1:81"),
        ({"PHANTOM_HOST": "::"}, "[::1]:8000"),
    ],
)
def test_a_code_is_looked_for_where_the_server_listens(env, netloc):
    assert parse_target("abc", env=env).url == f"ws://{netloc}/stream/abc"
    server = parse_target(None, env=env)
    assert server.url == f"ws://{netloc}/stream/{server.code}"
    assert server.made_up


def test_a_wrong_port_in_the_environment_is_said():
    with pytest.raises(SettingsError, match="PHANTOM_PORT"):
        parse_target("abc", env={"PHANTOM_PORT": "eighty"})


@pytest.mark.parametrize(
    "text", ["", "two words", "ftp://h/stream/a", "http://", "http://h:port", "http://[::1", "ä"]
)
def test_what_cannot_be_watched(text):
    with pytest.raises(InvalidParameterError, match="takes http://host:port"):
        parse_target(text, env={})
