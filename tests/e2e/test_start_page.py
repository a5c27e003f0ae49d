"""docs/start.md and the REST page, typed as a reader types them, in their order."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phantomlink.client.errors import UnreachableError
from phantomlink.client.session import Session
from tests.blocks import ROOT, blocks

START = ROOT / "docs/start.md"
FENCE = re.compile(r"^```(?:sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shell(page):
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def environment(maze_recording):
    """A free port in place of 8000, and a small recording, so that nothing is made."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PHANTOM_")}
    return kept | {
        "PHANTOM_PORT": str(port),
        "PHANTOM_DATA_DIR": str(maze_recording.parent),
        "PHANTOM_DATASET": maze_recording.stem,
        "PHANTOM_LSL_ENABLED": "false",
    }


def command_of(line):
    """The command in this environment, in place of one that was just installed."""
    program, *arguments = shlex.split(line)
    assert program == ".venv/bin/phantomlink"
    return [str(Path(sys.executable).parent / "phantomlink"), *arguments]


def wait_until_it_answers(url):
    for _ in range(600):
        try:
            return Session("a", url).rest.call("GET", "/health")
        except UnreachableError:
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


def test_a_newcomer_comes_from_the_first_line_to_the_first_client(environment, tmp_path):
    install, wheel, serve, watch = shell(START)
    assert install.splitlines()[-1] == ".venv/bin/pip install '.[client]'"
    assert wheel.splitlines()[1].endswith("[client]'")
    (client,) = blocks(START)
    server = subprocess.Popen(command_of(serve), env=environment, stderr=subprocess.DEVNULL)
    try:
        address = f"127.0.0.1:{environment['PHANTOM_PORT']}"
        wait_until_it_answers(f"http://{address}")
        watching = subprocess.Popen(
            [*command_of(watch), "--seconds", "2"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        (tmp_path / "client.py").write_text(client.code.replace("127.0.0.1:8000", address))
        done = subprocess.run(
            [sys.executable, str(tmp_path / "client.py")],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        watched, _ = watching.communicate(timeout=60)
    finally:
        server.terminate()
        assert server.wait(20) == 0
    assert done.stdout.splitlines()[0] == "maze 142 units"
    assert len(done.stdout.splitlines()) > 40
    assert watching.returncode == 0, watched


def test_the_commands_of_the_rest_page_work(maze_server):
    (commands,) = shell(ROOT / "docs/reference/rest.md")
    printed = [
        subprocess.run(
            [*shlex.split(line.replace("127.0.0.1:8000", maze_server.address)), "-s", "-f"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout
        for line in commands.splitlines()
    ]
    assert len(printed) == 3
    assert '"current_packet":1000' in printed[-1].replace(" ", "")
