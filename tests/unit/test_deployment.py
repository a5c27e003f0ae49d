"""The unit and the container file of docs/guide/deployment.md fit the product that there is."""

from __future__ import annotations

import configparser
import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from phantomlink.rest.table import ROUTES
from phantomlink.settings import Settings
from tests.servers import live_server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guide/deployment.md").read_text()


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def unit():
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(block("ini"))
    return parser


@pytest.fixture
def lines():
    """Instructions of the container file, whole."""
    return [
        line.split(maxsplit=1) for line in block("dockerfile").replace("\\\n", " ").splitlines()
    ]


def test_every_variable_is_a_setting(lines, unit):
    known = {f"PHANTOM_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    named = set(re.findall(r"PHANTOM_[A-Z_]+", block("dockerfile") + block("ini")))
    assert named
    assert named <= known


def test_the_unit_leaves_the_server_its_grace_period(unit):
    service = unit["Service"]
    assert float(service["TimeoutStopSec"]) > Settings().grace_seconds
    # The folders that it names are the ones that systemd makes and lets it write to.
    assert "PHANTOM_STATE_DIR=%S/phantomlink" in service["Environment"]
    assert (service["StateDirectory"], service["CacheDirectory"]) == ("phantomlink",) * 2
    assert service["ExecStart"].split()[0].endswith("/bin/phantomlink")


def test_the_container_file_has_nothing_that_hadolint_finds():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "-"],
        input=block("dockerfile"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_has_a_python_that_is_supported_and_no_root(lines):
    instructions = dict(lines)
    version = re.match(r"python:([0-9.]+)-slim$", instructions["FROM"])[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]
    assert instructions["USER"] not in {"root", "0"}
    assert instructions["EXPOSE"] == str(Settings().port)
    command, *arguments = json.loads(instructions["ENTRYPOINT"])
    assert command in project["scripts"]
    assert arguments == ["serve"]
    made = re.search(r"install -d -o phantom (.*)", instructions["RUN"])[1].split()
    assert json.loads(instructions["VOLUME"]) == made


def test_the_health_check_tells_a_server_that_is_ready(lines, synthetic_recording):
    found = dict(lines)["HEALTHCHECK"]
    command = json.loads(found[found.index("[") :])
    url = re.search(r"http://127\.0\.0\.1:8000(/\w+)", command[-1])
    assert url[1] in {route.path for route in ROUTES}
    command[0] = sys.executable

    def check(address):
        asked = [*command[:-1], command[-1].replace("127.0.0.1:8000", address)]
        return subprocess.run(asked, capture_output=True, timeout=20, check=False).returncode

    with live_server(synthetic_recording) as server:
        assert check(server.address) == 0
    assert check(server.address) != 0
