"""Messages that docs/guide/troubleshooting.md quotes are those that a user sees."""

import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from phantomlink.client import UnreachableError, connect
from tests.blocks import ROOT

PAGE = (ROOT / "docs/guide/troubleshooting.md").read_text(encoding="utf-8")


def serve(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "phantomlink", "serve", "--no-lsl-enabled", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    return done.stderr


def test_messages_of_a_start_that_fails(maze_server, maze_recording):
    port = maze_server.address.rpartition(":")[2]
    taken = serve(str(maze_recording), "--port", port)
    assert f"cannot listen on {maze_server.address}: Address already in use" in taken
    assert "cannot listen on 127.0.0.1:8000: Address already in use" in PAGE
    assert "my.nwb: no such file" in serve("my.nwb", "--port", "0")
    assert "`my.nwb: no such file`" in PAGE


def test_a_setting_of_the_wrong_form(monkeypatch, maze_recording):
    monkeypatch.setenv("PHANTOM_LOOP", "x")
    (quoted,) = re.findall(r"`(PHANTOM_LOOP: .*?)`", PAGE)
    assert quoted in serve(str(maze_recording), "--port", "0")


def status_of(server, **headers):
    request = urllib.request.Request(server.http + "/api/sessions", headers=headers, method="GET")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, ""
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_refusals(maze_server):
    assert status_of(maze_server, Host="evil.example")[0] == 421
    assert "| 421 |" in PAGE
    status, _ = maze_server.request(
        "POST", "/api/sessions/create", headers={"Origin": "https://evil.example"}
    )
    assert status == 403
    with pytest.raises(UnreachableError, match="no server answers at"):
        connect("http://127.0.0.1:1")
    assert "`no server answers at http://127.0.0.1:8000`" in PAGE


def test_a_target_between_trials_is_null_in_the_way_that_is_quoted():
    (quoted,) = re.findall(r"`(unsupported operand .*?)`", PAGE)
    with pytest.raises(TypeError, match=re.escape(quoted)):
        eval("1.0 - None")
