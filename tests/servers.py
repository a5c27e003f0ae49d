"""Starts the real server, by either of its entries, and gives back where it listens."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.waiting import until

ENTRIES = ("serve", "hypercorn")
ALL_ENTRIES = (*ENTRIES, "asyncio")
ONE_PROCESS = {
    "tests.elsewhere": "several processes need Linux, and it takes that away",
    "tests.threadless": "it takes threads from the process that it runs, and from no other",
}
"""Commands that TESTS_PROCESSES, how many processes all other servers have, does not go with."""
_START_SECONDS = 60
_RUNNING = re.compile(r"(?:Listening|Running) on http://([0-9.]+:[0-9]+)")


@dataclass
class LiveServer:
    """A server that runs as a process of its own.

    Attributes:
        process: it, or the one that has started all of it.
        address: where it listens.
        lines: of its log.
        has_records: whether it has several processes, and its sessions records therefore.
    """

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)
    has_records: bool = False

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    @property
    def ws(self) -> str:
        return f"ws://{self.address}"

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def request(self, method, path, body=None, headers=None):
        """(status, parsed JSON) of one REST call."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if headers is None else headers
        request = urllib.request.Request(self.http + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body=None):
        return self.request("POST", path, body)

    def create(self, code, **asked):
        """What is answered when this session, new or there already, is asked for."""

        def asked_for():
            found = self.post("/api/sessions/create", {"custom_code": code, **asked})
            # On a busy machine a node may have lost its lease for a moment.
            return None if found[0] == 503 else found

        status, answer = until(asked_for, "a session")
        assert status == 200, answer
        return answer

    def check_no_gap(self, code, numbers):
        """See that none is missing of a session; where it has a record, a stall skips some."""
        jumps = sum(after != before + 1 for before, after in pairwise(numbers))
        if jumps and self.has_records:
            assert all(after > before for before, after in pairwise(numbers))
            assert jumps <= self.get(f"/api/stats/{code}")[1]["stalls"]
        else:
            assert jumps == 0, numbers

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def live_server(
    recording: Path,
    *,
    entry: str = "serve",
    env: Mapping[str, str] | None = None,
    command: str = "phantomlink",
    app: str = "phantomlink.app:app",
) -> Iterator[LiveServer]:
    """Run `phantomlink serve` or hypercorn on any free port of 127.0.0.1 until left.

    Args:
        recording: that it plays.
        entry: "serve", "hypercorn" for its Trio worker, "asyncio" for its default one.
        env: variables beside those that name the recording.
        command: module that is the command of `serve`.
        app: that hypercorn serves.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PHANTOM_")}
    environment |= {"PHANTOM_DATA_DIR": str(recording.parent), "PHANTOM_DATASET": recording.stem}
    # Outlets would only make the tests of everything else slower, and seen by one another.
    environment["PHANTOM_LSL_ENABLED"] = "false"
    processes = os.environ.get("TESTS_PROCESSES")
    if entry == "serve" and processes and command not in ONE_PROCESS:
        environment["PHANTOM_PROCESSES"] = processes
    environment |= dict(env or {})
    if entry == "serve":
        arguments = [sys.executable, "-m", command, "serve", "--port", "0"]
    else:
        options = ["--bind", "127.0.0.1:0", "--graceful-timeout", "1"]
        if entry == "hypercorn":
            options += ["--worker-class", "trio"]
        arguments = [sys.executable, "-m", "hypercorn", *options, app]
    # A session of its own: hypercorn serves from a child process, which must go with it.
    process = subprocess.Popen(
        arguments,
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    server = LiveServer(process, "", has_records=environment.get("PHANTOM_PROCESSES", "1") != "1")
    addresses: queue.Queue[str | None] = queue.Queue()

    def read_log() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.lines.append(line)
            if found := _RUNNING.search(line):
                addresses.put(found[1])
        addresses.put(None)

    reader = threading.Thread(target=read_log)
    reader.start()
    try:
        address = addresses.get(timeout=_START_SECONDS)
        assert address is not None, f"the server ended while starting:\n{server.log}"
        server.address = address
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
