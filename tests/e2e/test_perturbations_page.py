"""docs/explanation/perturbations.md does what it says: its blocks and commands are run."""

import argparse
import json
import re
import shlex
import sys

import pytest

from tests.blocks import ROOT, blocks, run

PAGE = ROOT / "docs/explanation/perturbations.md"
BLOCKS = blocks(PAGE)
SHELL = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
CURL = argparse.ArgumentParser()
CURL.add_argument("-X", default="GET")
CURL.add_argument("-H")
CURL.add_argument("-d")
CURL.add_argument("url")


def first_with(words):
    (block,) = [block for block in BLOCKS if words in block.code]
    return block


@pytest.fixture
def folder(maze_recording, tmp_path):
    """A working directory in which a script finds the recording that is played by default."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mc_maze.nwb").symlink_to(maze_recording)
    return tmp_path


def test_a_script_plays_in_real_time(folder):
    (folder / "script.py").write_text(first_with("NoiseInjectionMiddleware(").code)
    outcome = run([sys.executable, "-u", "-W", "error", "script.py"], folder)
    assert outcome.stderr == ""
    head, *lines = outcome.stdout.splitlines()
    assert head == "mc_maze 142 units"
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    assert len(lines) > 10


def test_a_script_plays_a_file_of_perturbations_at_once(folder):
    (folder / "script.py").write_text(first_with("load_perturbation(").code)
    outcome = run([sys.executable, "-u", "-W", "error", "script.py"], folder)
    assert outcome.stderr == ""
    assert re.fullmatch(r"\(\d+, 142\) 0\.0\d+\n", outcome.stdout)


def test_every_python_block_is_run_here():
    assert len(BLOCKS) == 2


def test_the_commands_do_what_the_page_says(maze_server):
    done = []
    for line in "".join(SHELL).splitlines():
        asked = CURL.parse_args(shlex.split(line)[1:])
        body = None if asked.d is None else json.loads(asked.d)
        path = asked.url.removeprefix("http://127.0.0.1:8000")
        status, answer = maze_server.request(asked.X, path, body)
        assert status == 200, answer
        done.append((asked.X, answer))
    (_, created), (_, shown), (_, put), (_, deleted) = done
    assert [method for method, _ in done] == ["POST", "GET", "PUT", "DELETE"]
    assert created["session_code"] == "bad-implant"
    assert (shown["perturbation"]["name"], shown["seed"]) == ("moderate", 7)
    assert put["perturbation"]["transforms"][0]["kind"] == "dead_units"
    assert (put["seed"], put["packet_id"]) == (8, 0)
    assert deleted["perturbation"] is None
