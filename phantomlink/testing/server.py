"""A server as a process of its own, on any free port, with nothing of the user's environment.

Only the standard library is imported here: what a server needs is imported by its process.
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

_LISTENING = re.compile(r"Listening on (http://\S+)")
_LOG_LINES_SHOWN = 20


class ServerError(RuntimeError):
    """The server did not start, or ended before it was told to; the text has its log's end."""


class TestServer:
    """A server that runs.

    Attributes:
        url: of it, `http://127.0.0.1:port`.
        process: which it is.
    """

    __test__ = False  # for pytest, which collects classes of this name

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.url = ""
        self.process = process
        self._lines: list[str] = []
        self._addresses: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        """What it has said so far."""
        return "".join(self._lines)

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which a program under test finds it: PHANTOM_URL."""
        return {"PHANTOM_URL": self.url}

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until it listens.

        Raises:
            ServerError: it has ended, or says nothing for so long.
        """
        try:
            address = self._addresses.get(timeout=seconds)
        except queue.Empty:
            raise ServerError(f"the server is not ready after {seconds:g} s{self._end()}") from None
        if address is None:
            raise ServerError(f"the server ended while starting{self._end()}")
        self.url = address

    def stop(self, seconds: float) -> None:
        """Tell it to end, and end it after so long.

        Raises:
            ServerError: it had ended by itself.
        """
        has_ended = self.process.poll() is not None
        if not has_ended:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        self.kill()
        if has_ended:
            raise ServerError(
                f"the server ended with exit code {self.process.returncode}{self._end()}"
            )

    def kill(self) -> None:
        """End it at once. One that has ended is left so."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _read_log(self) -> None:
        for line in self.process.stderr or ():
            self._lines.append(line)
            if found := _LISTENING.search(line):
                self._addresses.put(found[1])
        self._addresses.put(None)

    def _end(self) -> str:
        shown = "".join(self._lines[-_LOG_LINES_SHOWN:]).rstrip()
        return f"; its log:\n{shown}" if shown else ", without a word"


@contextmanager
def running_server(
    recording: Path | str | None = None,
    settings: Mapping[str, str] | None = None,
    *,
    cache_dir: Path | None = None,
    ready_seconds: float = 60.0,
    stop_seconds: float = 10.0,
) -> Iterator[TestServer]:
    """Run `phantomlink serve` on a free port of 127.0.0.1 until the block is left.

    It has no LSL outlets unless the settings say so, and sees no `PHANTOM_` variable of this
    process.

    Args:
        recording: that it plays; None for that of `phantomlink serve` without one.
        settings: by the names of their variables, without the prefix `PHANTOM_` or with it.
        cache_dir: for what it keeps; None for the user's.
        ready_seconds: how long it may take to start.
        stop_seconds: how long it may take to end.

    Raises:
        ServerError: it does not start, or ends in between.
    """
    named = [] if recording is None else [str(recording)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PHANTOM_")}
    environment["PHANTOM_LSL_ENABLED"] = "false"
    for name, value in (settings or {}).items():
        environment["PHANTOM_" + name.upper().removeprefix("PHANTOM_")] = value
    if cache_dir is not None:
        environment["XDG_CACHE_HOME"] = str(cache_dir)
    server = TestServer(
        subprocess.Popen(
            [sys.executable, "-m", "phantomlink", "serve", *named, "--port", "0"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    )
    try:
        server.wait_until_ready(ready_seconds)
        yield server
    except BaseException:
        server.kill()
        raise
    server.stop(stop_seconds)


def make_recording(out: Path, *, units: int = 96, trials: int = 20, seed: int = 0) -> Path:
    """Make a synthetic recording, unless it is there: the same arguments, the same data.

    Args:
        out: the NWB file to make; its name becomes that of the dataset.
        units: sorted neurons.
        trials: reaches, about 3 s each.
        seed: of everything in it.

    Raises:
        ServerError: it cannot be made.
    """
    if out.exists():
        return out
    figures = {"--units": units, "--trials": trials, "--seed": seed}
    arguments = [text for name, value in figures.items() for text in (name, str(value))]
    out.parent.mkdir(parents=True, exist_ok=True)
    # What another process has made meanwhile is the same: it may be replaced.
    done = subprocess.run(
        [sys.executable, "-m", "phantomlink", "synth", str(out), *arguments, "--overwrite"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ServerError(f"no recording could be made at {out}: {done.stderr.strip()}")
    return out
