"""Commands as scripts and people use them: any terminal, any pipe, misspelt, interrupted."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from phantomlink.access.hosts import full_name
from tests.commands import finish, start
from tests.waiting import until

PHANTOMLINK = [sys.executable, "-m", "phantomlink"]
# What Windows, a minimal container and an old terminal offer.
TERMINALS = (
    {"PYTHONIOENCODING": "cp1252"},
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"TERM": "dumb", "PYTHONIOENCODING": "ascii"},
    {"TERM": "dumb"},
)


@pytest.fixture(scope="module")
def strange(tmp_path_factory, synthetic_recording):
    """A recording whose name has letters that few terminals have."""
    path = tmp_path_factory.mktemp("strange") / "μ-\u2581-\U0001f9e0.nwb"
    path.write_bytes(synthetic_recording.read_bytes())
    return path


@pytest.mark.parametrize("terminal", TERMINALS)
@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["inspect"]])
def test_anything_is_printed_on_any_terminal(terminal, arguments, strange):
    if arguments == ["inspect"]:
        arguments = ["inspect", str(strange)]
    code, out, err = finish(start(*arguments, env=terminal))
    assert (code, err) == (0, "")
    assert len(out.splitlines()) > 10


@pytest.mark.parametrize("terminal", TERMINALS)
def test_json_is_json_and_an_error_one_line_on_any_terminal(terminal, strange):
    code, out, _ = finish(start("inspect", "--json", str(strange), env=terminal))
    assert code == 0
    # A C locale has other letters for the name, but the file is found.
    assert json.loads(out)["path"].endswith(".nwb")
    code, out, err = finish(start("inspect", str(strange) + "x", env=terminal))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("phantomlink: ")


def test_a_reader_that_leaves_ends_a_command_quietly(strange):
    process = start("inspect", str(strange))
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(40) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_is_one_line(strange):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PHANTOMLINK, "inspect", str(strange)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=40,
        )
    assert done.returncode == 2
    assert done.stderr == "phantomlink: [Errno 28] No space left on device\n"


def test_closed_streams_end_nothing(strange):
    shell = f"exec {sys.executable} -m phantomlink inspect {strange} >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], check=False, timeout=40).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serv"], "phantomlink: 'serv' is not known; did you mean serve?"),
        (["inspct", "x"], "phantomlink: 'inspct' is not known; did you mean inspect?"),
        (
            ["serve", "--prot", "1"],
            "phantomlink serve: '--prot' is not known; did you mean --po",
        ),
        (["watch", "--secnds=1"], "phantomlink watch: '--secnds' is not known; did you mean --sec"),
        (["serve", "--api-tokn=secret"], "phantomlink serve: '--api-tokn' is not known; did you"),
        (["inspect"], "phantomlink inspect: the following arguments are required: file"),
        ([], "phantomlink: the following arguments are required: COMMAND"),
    ],
)
def test_what_is_misspelt_gets_a_suggestion_in_one_line(arguments, said):
    code, out, err = finish(start(*arguments))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(said)
    assert "secret" not in err


def serving(*arguments, **env):
    env = {"PHANTOM_LSL_ENABLED": "false", **env}
    return start("serve", "--port", "0", *arguments, env=env)


def wait_for(path):
    until(path.exists, f"{path.name}")


def is_caught(pid, number):
    """Whether a process has a handler of its own for this signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (mask,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("delay_seconds", [0.0, 0.1, 0.2, 0.4, 0.7, 1.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_ends_it_without_a_traceback(
    delay_seconds, number, synthetic_recording
):
    process = start("serve", "--port", "0", str(synthetic_recording))
    # What Python does before the first line of ours is its own; SIGTERM is caught by ours alone.
    until(lambda: is_caught(process.pid, signal.SIGTERM))
    time.sleep(delay_seconds)
    process.send_signal(number)
    code, _, err = finish(process)
    assert code == 0 or (code == 128 + number and not err), err


def test_the_ready_file_is_there_while_clients_can_connect(tmp_path, synthetic_recording):
    ready, target = tmp_path / "ready.json", tmp_path / "target"
    target.write_text("untouched")
    ready.symlink_to(target)
    process = serving(str(synthetic_recording), "--ready-file", str(ready))
    until(lambda: ready.exists() and not ready.is_symlink())
    said = json.loads(ready.read_text())
    assert said["url"] == f"http://127.0.0.1:{said['port']}"
    assert said["pid"] == process.pid
    _, out, err = finish(start("watch", said["url"], "--seconds", "0.5", "--json"))
    assert json.loads(out)["session_code"], err
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]
    assert target.read_text() == "untouched"


def test_the_ready_file_of_another_server_stays(tmp_path, synthetic_recording):
    ready = tmp_path / "ready.json"
    process = serving(str(synthetic_recording), "--ready-file", str(ready))
    wait_for(ready)
    other = tmp_path / "other"
    other.write_text("{}")
    other.replace(ready)
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == 0
    assert ready.read_text() == "{}"


@pytest.mark.parametrize("place", ["nowhere/ready.json", "."])
def test_a_ready_file_that_cannot_be_is_said_at_once(place, tmp_path, synthetic_recording):
    process = serving(str(synthetic_recording), "--ready-file", str(tmp_path / place))
    code, _, err = finish(process)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("phantomlink: --ready-file")


def test_watch_waits_for_a_server(tmp_path, synthetic_recording):
    ready = tmp_path / "ready.json"
    first = serving(str(synthetic_recording), "--ready-file", str(ready))
    wait_for(ready)
    port = str(json.loads(ready.read_text())["port"])
    first.send_signal(signal.SIGTERM)
    assert finish(first)[0] == 0
    url = f"http://127.0.0.1:{port}"
    watching = start("watch", url, "--seconds", "0.5", "--wait", "40", "--json")
    # No server yet; one that was not told to wait ends.
    assert finish(start("watch", url, "--seconds", "0.5"))[0] == 2
    second = start(
        "serve", "--port", port, str(synthetic_recording), env={"PHANTOM_LSL_ENABLED": "false"}
    )
    _, out, err = finish(watching)
    assert json.loads(out)["session_code"], err
    second.send_signal(signal.SIGTERM)
    assert finish(second)[0] == 0


def addresses():
    """Of IPv4, of this machine."""
    every = [one for found in psutil.net_if_addrs().values() for one in found]
    return [one for one in every if one.family == socket.AF_INET]


def answers(url, host=None):
    """Whether a server answers to what somebody types; with a name that may not be in the DNS."""
    request = urllib.request.Request(f"{url}/livez", headers={} if host is None else {"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        with error:
            assert error.code == 421
        return False


def test_a_wildcard_is_shown_as_addresses_that_can_be_typed(tmp_path, synthetic_recording):
    ready = tmp_path / "ready.json"
    process = serving(str(synthetic_recording), "--host", "0.0.0.0", "--ready-file", str(ready))
    wait_for(ready)
    port = json.loads(ready.read_text())["port"]
    # And the names of this machine, which people know better.
    for name in ("localhost", socket.gethostname(), full_name() or "localhost"):
        host = f"{name}:{port}"
        until(lambda: answers(f"http://127.0.0.1:{port}", host), host)  # noqa: B023
    # Before the server ends: what it prints is typed.
    typed = [f"http://{one.address}:{port}" for one in addresses()]
    assert all(map(answers, typed))
    process.send_signal(signal.SIGTERM)
    _, _, err = finish(process)
    shown = [
        line for line in err.splitlines() if "Listening on" in line or "phantomlink watch" in line
    ]
    assert {url for line in shown for url in re.findall(r"http://[^ /;]+", line)} == set(typed)


def test_debug_lines_are_ours(tmp_path, synthetic_recording):
    ready = tmp_path / "ready.json"
    process = serving(
        str(synthetic_recording), "--log-level", "debug", "--log-format", "json",
        "--ready-file", str(ready),
    )  # fmt: skip
    wait_for(ready)
    process.send_signal(signal.SIGTERM)
    _, _, err = finish(process)
    lines = [json.loads(line) for line in err.splitlines()]
    assert {line["logger"].partition(".")[0] for line in lines if line["level"] == "DEBUG"} <= {
        "phantomlink"
    }


def test_names_of_strangers_command_no_terminal(tmp_path, synthetic_recording):
    evil = tmp_path / "a\x1b[2J\nCRITICAL lost.nwb"
    evil.write_bytes(synthetic_recording.read_bytes())
    ready = tmp_path / "ready.json"
    process = serving(str(evil), "--ready-file", str(ready))
    wait_for(ready)
    url = json.loads(ready.read_text())["url"]
    _, watched, news = finish(start("watch", url, "--seconds", "0.5"))
    process.send_signal(signal.SIGTERM)
    _, _, log = finish(process)
    _, _, refused = finish(serving(str(evil) + "x"))
    for said in (watched, news, log, refused):
        assert "\x1b" not in said
        assert not [line for line in said.splitlines() if line.startswith("CRITICAL")]
    assert r"a\x1b[2J\nCRITICAL lost" in log
    assert r"a\x1b[2J" in watched
