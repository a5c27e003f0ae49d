import errno
import json
import logging
import subprocess
import sys

import pytest
import trio

from phantomlink import logs
from phantomlink.logs import (
    DescriptorLines,
    JsonLines,
    TextLines,
    bind,
    next_client_id,
    without_secrets,
)


def record(message="hello %s", *args, exc_info=None, **extra):
    logger = logging.getLogger("phantomlink.test")
    return logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, args, exc_info, extra=extra
    )


def failed(error):
    """What `exc_info` holds while it is handled."""
    with pytest.raises(type(error)) as caught:
        raise error
    return type(error), caught.value, caught.value.__traceback__


def line_of(record):
    text = JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


async def test_a_line_is_one_object():
    said = line_of(record("hello %s", "wörld\n\u2028"))
    assert list(said) == ["ts", "level", "logger", "message"]
    assert said["message"] == "hello wörld\n\u2028"
    assert (said["level"], said["logger"]) == ("WARNING", "phantomlink.test")
    assert len(said["ts"]) == len("2026-01-01T00:00:00.025Z")
    assert said["ts"].endswith("Z")


def test_one_of_several_processes_says_which_it_is():
    assert json.loads(JsonLines("1").format(record("odd")))["node"] == "1"
    lines = TextLines("1").format(record("odd", exc_info=failed(ValueError("x")))).splitlines()
    assert lines[0].endswith(" odd [process 1]")
    assert lines[1].startswith("Traceback")


def test_a_traceback_is_inside_the_line():
    error = ExceptionGroup("several", [ValueError("a\nb")])
    said = line_of(record("it failed", exc_info=failed(error)))
    assert said["message"] == "it failed"
    assert "Traceback" in said["exception"]
    assert "ValueError: a\n" in said["exception"]


def test_what_is_said_extra_is_a_member_whatever_it_is():
    said = line_of(record("x", session="abc", thing=object(), data=b"\xff"))
    assert said["session"] == "abc"
    assert said["thing"].startswith("<object")


async def test_ids_belong_to_a_task_and_those_that_it_starts():
    seen = {}

    async def say(name):
        seen[name] = {k: v for k, v in line_of(record("x")).items() if k in {"session", "client"}}

    async def client(code, number):
        bind(session=code, client=number)
        await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, number)

    async def not_of_the_client():
        bind(session="c", client=3)
        bind(client=None)
        await say("none")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(client, "a", 1)
        nursery.start_soon(client, "b", 2)
        nursery.start_soon(not_of_the_client)
    await say("outside")
    assert seen == {
        1: {"session": "a", "client": 1},
        2: {"session": "b", "client": 2},
        "none": {"session": "c"},
        "outside": {},
    }
    assert next_client_id() < next_client_id()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cret-token.x",
        "headers [(b'authorization', b'bearer s3cret-token.x')]",
        '{"authorization": "Bearer s3cret-token.x"}',
        "bearer, s3cret-token.x, phantomlink.v1.json",
    ],
)
def test_a_token_is_never_shown(text):
    assert "s3cret" not in without_secrets(text)
    assert "s3cret" not in TextLines().format(record("got %r", text))
    exc_info = failed(ValueError(text))
    shown = JsonLines().format(record("%s", text, exc_info=exc_info, header=text))
    assert "s3cret" not in shown
    assert "***" in shown


def test_other_text_stays_as_it_is():
    text = "the bearers of a token come from http://127.0.0.1:8000/docs (try phantomlink watch)"
    assert without_secrets(text) == text


def test_an_error_that_nobody_caught_and_a_warning_are_lines_too():
    program = (
        "import warnings; from phantomlink.logs import set_up_logging; "
        "set_up_logging('INFO', 'json'); warnings.warn('odd'); 1 / 0"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    odd, failed = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, odd["level"], failed["level"]) == (1, "WARNING", "CRITICAL")
    assert "odd" in odd["message"]
    assert "ZeroDivisionError" in failed["exception"]


def test_what_a_stranger_named_stays_on_its_line_and_commands_no_terminal():
    said = TextLines().format(
        record("%s", "a\x1b[2Jb\nCRITICAL all is lost\u202e\x07" + "x" * 10_000)
    )
    assert said.count("\n") == 0
    assert r"a\x1b[2Jb\nCRITICAL all is lost\u202e\x07xxx" in said
    assert len(said) < 2200
    said = TextLines().format(record("it failed", exc_info=failed(ValueError("\x1b]0;title\x07"))))
    assert said.endswith(r"ValueError: \x1b]0;title\x07")
    assert said.count("\n") > 2


def test_running_out_of_descriptors_is_one_line_a_minute(monkeypatch):
    now = 100.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    lines = DescriptorLines()
    full = failed(OSError(errno.EMFILE, "Too many open files"))
    first = record("accept returned %s", "EMFILE", exc_info=full)
    assert lines.filter(first)
    assert "New connections wait or are closed: Too many open files." in TextLines().format(first)
    assert "Traceback" not in TextLines().format(first)
    assert not lines.filter(record("again", exc_info=full))
    now += 61
    assert lines.filter(record("again", exc_info=full))
    for other in (failed(ValueError("x")), failed(OSError(errno.EBADF, "x")), None):
        said = record("something else", exc_info=other)
        assert lines.filter(said)
        assert said.getMessage() == "something else"
        assert said.exc_info == other
