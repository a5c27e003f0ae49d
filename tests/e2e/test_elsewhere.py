"""What Windows and macOS lack: the commands do without it, and say nothing of it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from phantomlink.client import connect
from phantomlink.recordings import index_cache
from tests.clients import receive
from tests.servers import live_server

CP1252 = {"PYTHONIOENCODING": "cp1252", "PYTHONWARNDEFAULTENCODING": "1", "PYTHONUTF8": "0"}


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.elsewhere", *map(str, arguments)],
        env=os.environ | CP1252,
        capture_output=True,
        encoding="cp1252",
        check=False,
        timeout=60,
    )


def ours(text):
    """Lines of ours: others warn about encodings of theirs."""
    return [
        line for line in text.splitlines() if "EncodingWarning" in line and "phantomlink" in line
    ]


def test_what_is_taken_away_is_gone():
    program = "from tests.elsewhere import take_away; take_away(); import fcntl"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert "ModuleNotFoundError" in done.stderr or "None in sys.modules" in done.stderr


def test_commands_print_in_an_encoding_without_arrows_and_greek(synthetic_recording, tmp_path):
    commands = (
        ("--help",),
        ("serve", "--help"),
        ("inspect", synthetic_recording),
        ("synth", "--units", 2, "--trials", 2, tmp_path / "made.nwb"),
    )
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda arguments: command(*arguments), commands))
    for done in ended:
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert ours(done.stderr) == []


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_server_plays(size, synthetic_recording, request, tmp_path):
    recording = synthetic_recording
    if size == "large":  # read while it plays, from an index that is made now
        recording = request.getfixturevalue("recording")
    env = CP1252 | {"PHANTOM_STATE_DIR": str(tmp_path / "state")}
    with live_server(recording, env=env, command="tests.elsewhere") as server:
        with connect(server.http, session="mine") as stream:
            packets = [stream.receive(10) for _ in range(20)]
        assert np.array([packet.counts for packet in packets]).sum() > 0
        server.post("/api/control/mine/seek", {"packet_id": 200})
        assert receive(server.ws + "/stream/mine", 3).ids == [200, 201, 202]
        assert server.terminate() == 0
    assert "not available" not in server.log
    assert "ERROR" not in server.log
    assert ours(server.log) == []


def test_a_start_that_asks_for_what_is_not_there_says_so(synthetic_recording):
    env = CP1252 | {"PHANTOM_REALTIME": "true", "PHANTOM_CPU_AFFINITY": "0"}
    with live_server(synthetic_recording, env=env, command="tests.elsewhere") as server:
        assert receive(server.ws + "/stream/mine", 3).ids == [0, 1, 2]
    for name in ("SCHED_FIFO", "mlockall", "CPU affinity"):
        assert f"WARNING {name}: not available" in server.log


def test_a_stretch_of_a_file_is_read_without_pread(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    monkeypatch.delattr(os, "pread")
    with path.open("rb", buffering=0) as file:
        file.seek(7)
        assert index_cache.read_exactly(file, 5, 20) == bytes(range(20, 25))
        assert file.tell() == 7
        with pytest.raises(OSError, match="ends 3 bytes early"):
            index_cache.read_exactly(file, 5, 98)
