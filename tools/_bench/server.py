"""The server that is measured: one that this run starts, or one that runs already."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from .lsl import write_configuration
from .rest import Rest
from .slices import Usage
from .talk import ChildError

_START_SECONDS = 120.0
_STOP_SECONDS = 20.0
_LISTENING = re.compile(r"Listening on (http://\S+)")
# What this run decides for the server; other settings of the environment reach it as they are.
_OURS = (
    "PHANTOM_HOST",
    "PHANTOM_PORT",
    "PHANTOM_DATA_DIR",
    "PHANTOM_DATASET",
    "PHANTOM_LSL_ENABLED",
    "PHANTOM_API_TOKEN",
    "PHANTOM_API_TOKEN_FILE",
)


class Server:
    """A running PhantomLink server.

    Args:
        url: where it listens, http://host:port.
        process: of it; None when it is not known, and then what it uses is not either.

    Attributes:
        lsl_env: variables with which a receiver finds its LSL streams.
    """

    def __init__(self, url: str, process: psutil.Process | None) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if not parts.hostname:
            raise ChildError(f"expected a URL like http://127.0.0.1:8000, got {url!r}")
        self.host, self.port = parts.hostname, parts.port or 80
        self.process = process
        self.lsl_env: dict[str, str] = {}
        self.rest = Rest(self.host, self.port)

    @property
    def metadata(self) -> dict[str, object]:
        """`GET /api/metadata`.

        Raises:
            ChildError: it does not answer like a PhantomLink server.
        """
        try:
            status, answer = self.rest.call("GET", "/api/metadata")
        except OSError as error:
            raise ChildError(f"no server at {self.host}:{self.port}: {error}") from error
        if status != 200 or not isinstance(answer, dict) or "frequency_hz" not in answer:
            raise ChildError(f"no PhantomLink server at {self.host}:{self.port}: status {status}")
        return answer

    @property
    def rate_hz(self) -> Fraction:
        """Packets a second of a session."""
        return Fraction(str(self.metadata["frequency_hz"])).limit_denominator(1_000_000)

    def stop(self) -> None:
        """Leave it alone."""
        self.rest.close()


class StartedServer(Server):
    """A server of this run's own.

    Args:
        recording: an NWB file; None: the synthetic recording in the user's cache directory.
        rate_hz: packets a second.
        max_sessions: that it takes.
        folder: for its log; its working directory, where no recording lies by chance.
        lsl: whether its sessions are LSL outlets too, seen by this run alone.

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
    ) -> None:
        environment = {name: v for name, v in os.environ.items() if name not in _OURS}
        environment["PHANTOM_LSL_ENABLED"] = str(lsl).lower()
        lsl_env: dict[str, str] = {}
        if lsl:
            lsl_env = write_configuration(folder / "server_lsl_api.cfg", f"jitter-{uuid.uuid4()}")
            environment |= lsl_env
        command = [sys.executable, "-m", "phantomlink", "serve", "--port", "0"]
        command += ["--stream-frequency-hz", str(rate_hz), "--max-connections", str(max_sessions)]
        # All clients of a benchmark come from one address.
        command += ["--max-clients", "10000", "--max-clients-per-session", "10000"]
        command += ["--max-clients-per-address", "10000", "--max-requests-per-second", "0"]
        if recording is not None:
            command.append(str(recording.resolve()))
        self._log = folder / f"server-{uuid.uuid4().hex[:8]}.log"
        with self._log.open("wb") as log:
            self._popen = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=log, stderr=log
            )
        try:
            super().__init__(self._wait_for_url(), psutil.Process(self._popen.pid))
            self.lsl_env = lsl_env
        except BaseException:
            self._popen.kill()
            self._popen.wait()
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
        self._popen.send_signal(signal.SIGTERM)
        try:
            self._popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def _wait_for_url(self) -> str:
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            if found := _LISTENING.search(self._log.read_text()):
                return found[1]
            if self._popen.poll() is not None:
                break
            time.sleep(0.05)
        raise ChildError(f"the server did not start:\n{self._log.read_text()}")


class UsageMeter:
    """CPU of a process and its children between two moments, and memory at the end.

    Args:
        process: None: every figure is NaN.
    """

    def __init__(self, process: psutil.Process | None) -> None:
        self._process = process
        self._begin: tuple[float, float] | None = None

    def begin(self) -> None:
        """From now on."""
        self._begin = (time.monotonic(), self._cpu_seconds())

    def end(self) -> float:
        """CPU since `begin`, as a share of one core."""
        cpu_seconds, seconds = self.end_seconds()
        return cpu_seconds / seconds

    def end_seconds(self) -> tuple[float, float]:
        """CPU since `begin` and the time since then, s."""
        assert self._begin is not None
        began, cpu = self._begin
        return self._cpu_seconds() - cpu, time.monotonic() - began

    def usage(self, cpu: float) -> Usage:
        """With the memory now; reading it holds up the process, so not while measuring."""
        if self._process is None:
            return Usage(cpu)
        memory = [p.memory_full_info() for p in _family(self._process)]
        return Usage(cpu, sum(m.rss for m in memory), sum(m.uss for m in memory))

    def _cpu_seconds(self) -> float:
        if self._process is None:
            return math.nan
        times = [p.cpu_times() for p in _family(self._process)]
        return float(sum(t.user + t.system for t in times))


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]
