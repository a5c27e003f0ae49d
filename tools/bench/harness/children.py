"""How the tools' processes talk: a JSON object a line, over stdin and stdout."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Message = dict[str, Any]

_ROOT = Path(__file__).resolve().parents[3]
_STOP_SECONDS = 5.0


class ChildError(RuntimeError):
    """A process of a tool could not do its part."""


def tell(message: Message) -> None:
    """Child: say something to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def hear() -> Message:
    """Child: wait for the parent's next line. The parent has gone: end this process."""
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(0)
    message: Message = json.loads(line)
    return message


def fail(reason: str) -> None:
    """Child: say why it cannot go on, and end."""
    tell({"error": reason})
    sys.exit(1)


def enter(run: Callable[[Message], None], *errors: type[Exception]) -> None:
    """Child: hear the config and run; these errors are told to the parent."""
    try:
        run(hear())
    except errors as error:
        fail(f"{Path(sys.argv[0]).stem}: {error}")


def end_with_parent() -> None:
    """Child: end when the parent closes stdin, whatever else this process waits for."""

    def wait() -> None:
        while sys.stdin.buffer.readline():
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


class Child:
    """Parent: a process that runs one module of these tools.

    Args:
        module: its name within `tools.bench`, as `harness.receiver`.
        config: what it hears first.
        env: variables beside those of this process.
    """

    def __init__(self, module: str, config: Message, env: Mapping[str, str] | None = None) -> None:
        self.name = module.rpartition(".")[2]
        environment = dict(os.environ) | dict(env or {})
        path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(_ROOT) + (os.pathsep + path if path else "")
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tools.bench.{module}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._received = b""
        self.say(config)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def say(self, message: Message) -> None:
        """Send a line.

        Raises:
            ChildError: the process has ended.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildError(f"{self.name} has ended") from error

    def read(self, timeout_seconds: float) -> Message:
        """The next line.

        Raises:
            ChildError: the process said that it failed, ended, or is silent for too long.
        """
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        until = time.monotonic() + timeout_seconds
        while b"\n" not in self._received:
            left = until - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise ChildError(f"{self.name} said nothing for {timeout_seconds:g} s")
            data = os.read(descriptor, 1 << 16)
            if not data:
                code = self._process.wait()
                raise ChildError(f"{self.name} ended with exit code {code}")
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        message: Message = json.loads(line)
        if "error" in message:
            raise ChildError(str(message["error"]))
        return message

    def ask(self, message: Message, timeout_seconds: float) -> Message:
        """Send a line and wait for the answer."""
        self.say(message)
        return self.read(timeout_seconds)

    def stop(self) -> None:
        """End it. Safe to call twice."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has gone already
            process.stdin.close()
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
