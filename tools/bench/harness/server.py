"""The server under test: one that a tool starts, or one that runs already."""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import psutil

from .children import ChildError, end
from .lsl_configuration import write_configuration

_ANSWER_SECONDS = 20.0
_START_SECONDS = 120.0
_LISTENING = re.compile(r"Listening on (http://\S+)")
# What a tool decides for the server; other settings of the environment reach it as they are.
_OURS = (
    "PHANTOM_HOST",
    "PHANTOM_PORT",
    "PHANTOM_DATA_DIR",
    "PHANTOM_DATASET",
    "PHANTOM_LSL_ENABLED",
    "PHANTOM_API_TOKEN",
    "PHANTOM_API_TOKEN_FILE",
)
# All clients of a benchmark come from one address.
_NO_LIMITS: dict[str, object] = dict.fromkeys(
    (
        *("max-clients", "max-clients-per-session", "max-clients-per-address"),
        *("max-pending-connections", "max-pending-connections-per-address"),
    ),
    10_000,
) | {"port": 0, "max-requests-per-second": 0}


class Server:
    """A running PhantomLink server, and its REST API over one connection that is kept open.

    Args:
        url: where it listens, http://host:port.
        process: of it; None when it is not known, and then what it uses is not either.

    Attributes:
        address: host and port, as receivers take it.
        lsl_env: variables with which a receiver finds its LSL streams.
    """

    def __init__(self, url: str, process: psutil.Process | None) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if not parts.hostname:
            raise ChildError(f"expected a URL like http://127.0.0.1:8000, got {url!r}")
        self.host, self.port = parts.hostname, parts.port or 80
        self.address = {"host": self.host, "port": self.port}
        self.process = process
        self.lsl_env: dict[str, str] = {}
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=_ANSWER_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and answer: what the JSON says, else text.

        Raises:
            OSError: the server cannot be reached.
        """
        data = None if body is None else json.dumps(body).encode()
        sent = dict(headers or {}) | ({} if data is None else {"Content-Type": "application/json"})
        try:
            response = self._ask(method, path, data, sent)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # The server may close a connection that was idle for a slice; once is no failure.
            self.disconnect()
            response = self._ask(method, path, data, sent)
        raw = response.read()
        is_json = "json" in (response.getheader("Content-Type") or "")
        return response.status, json.loads(raw) if is_json else raw.decode("utf-8", "replace")

    def _ask(self, *request: Any) -> http.client.HTTPResponse:
        self._connection.request(*request)
        return self._connection.getresponse()

    def must(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer of a call that has to succeed.

        Raises:
            ChildError: it did not, or there is no server.
        """
        try:
            status, answer = self.call(method, path, body)
        except OSError as error:
            raise ChildError(f"no server at {self.host}:{self.port}: {error}") from error
        if status != 200:
            raise ChildError(f"{method} {path}: {status} {answer}")
        return answer

    @property
    def metadata(self) -> dict[str, Any]:
        """`GET /api/metadata`."""
        answer: dict[str, Any] = self.must("GET", "/api/metadata")
        return answer

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of a session."""
        return Fraction(str(self.metadata["frequency_hz"])).limit_denominator(1_000_000)

    def disconnect(self) -> None:
        """Close the connection; the next call opens another."""
        self._connection.close()

    def stop(self) -> None:
        """Leave it alone."""
        self.disconnect()


class StartedServer(Server):
    """A server of this run's own.

    Args:
        recording: an NWB file; None: the synthetic recording in the user's cache directory.
        rate_hz: packets a second.
        max_sessions: that it takes.
        folder: for its log; its working directory, where no recording lies by chance.
        lsl: whether its sessions are LSL outlets too, seen by this run alone.
        lsl_as_it_comes: seen by whoever looks, since nobody configures anything.
        more: further recordings that it offers.

    Raises:
        ChildError: it does not start.
    """

    def __init__(
        self,
        recording: Path | None,
        rate_hz: Fraction,
        max_sessions: int,
        folder: Path,
        *,
        lsl: bool = False,
        lsl_as_it_comes: bool = False,
        more: Sequence[Path] = (),
    ) -> None:
        environment = {name: v for name, v in os.environ.items() if name not in _OURS}
        environment["PHANTOM_LSL_ENABLED"] = str(lsl or lsl_as_it_comes).lower()
        lsl_env: dict[str, str] = {}
        if lsl:
            lsl_env = write_configuration(folder / "server_lsl_api.cfg", f"jitter-{uuid.uuid4()}")
            environment |= lsl_env
        options = _NO_LIMITS | {"stream-frequency-hz": rate_hz, "max-connections": max_sessions}
        command = [sys.executable, "-m", "phantomlink", "serve"]
        command += [f"--{name}={value}" for name, value in options.items()]
        if recording is not None:
            command += [str(path.resolve()) for path in (recording, *more)]
        self._log = folder / f"server-{uuid.uuid4().hex[:8]}.log"
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log
            )
        try:
            super().__init__(self._wait_for_url(), psutil.Process(self._popen.pid))
            self.lsl_env = lsl_env
        except BaseException:
            end(self._popen)
            raise

    def stop(self) -> None:
        """End it.

        Raises:
            ChildError: it had ended by itself.
        """
        super().stop()
        code = self._popen.poll()
        if code is not None:
            raise ChildError(f"the server ended with exit code {code}:\n{self._log.read_text()}")
        end(self._popen)

    def _wait_for_url(self) -> str:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if found := _LISTENING.search(self._log.read_text()):
                return found[1]
            if self._popen.poll() is not None:
                break
            time.sleep(0.05)
        raise ChildError(f"the server did not start:\n{self._log.read_text()}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What every tool takes that plays against a server."""
    add = parser.add_argument
    add("--recording", type=Path, help="an NWB file (default: the synthetic recording)")
    add("--url", help="a server that runs already, http://host:port; without it, one is started")
    add("--pid", type=positive(int), help="process of that server, for what it uses")
    add("--json", type=Path, metavar="FILE", help="write everything here")


def positive(kind: type[int | float | Fraction]) -> Any:
    """For argparse: numbers above 0."""

    def parse(text: str) -> int | float | Fraction:
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def chosen(
    arguments: argparse.Namespace,
    rate_hz: Fraction,
    max_sessions: int,
    folder: Path,
    *,
    lsl: bool = False,
) -> Server:
    """The server that `add_arguments` names, or one that is started.

    Raises:
        ChildError: it has another rate, or does not start.
    """
    if not arguments.url:
        return StartedServer(arguments.recording, rate_hz, max_sessions, folder, lsl=lsl)
    process = psutil.Process(arguments.pid) if arguments.pid else None
    server = Server(arguments.url, process)
    if server.rate_hz != rate_hz:
        raise ChildError(
            f"the server at {arguments.url} sends {server.rate_hz} packets a second, this run "
            f"wants {rate_hz}: start it with --stream-frequency-hz {rate_hz}"
        )
    return server


class UsageMeter:
    """CPU of a process and its children between two moments, and memory.

    Args:
        process: None: every figure is NaN.
    """

    def __init__(self, process: psutil.Process | None) -> None:
        self._process = process
        self._begin = (time.monotonic(), self._cpu_seconds())

    def seconds(self) -> tuple[float, float]:
        """CPU since this was made, and the time since then, s."""
        began, cpu = self._begin
        return self._cpu_seconds() - cpu, time.monotonic() - began

    def memory_bytes(self) -> tuple[float, float]:
        """Resident, and what only it has. Reading it holds the process up."""
        memory = [each.memory_full_info() for each in self._family()]
        return (
            sum(each.rss for each in memory) or math.nan,
            sum(each.uss for each in memory) or math.nan,
        )

    def _cpu_seconds(self) -> float:
        times = [each.cpu_times() for each in self._family()]
        return float(sum(each.user + each.system for each in times)) if times else math.nan

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)] if self._process else []
