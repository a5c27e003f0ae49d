"""How the tools' processes talk: messages over a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

Message = dict[str, Any]

_ROOT = Path(__file__).resolve().parents[3]
_STOP_SECONDS = 20.0
_ENTER = "from tools.bench.harness.children import enter; enter()"


class ChildError(RuntimeError):
    """A process of a tool could not do its part."""


@cache
def _parent() -> Connection:
    return Connection(int(sys.argv[2]))


def tell(message: Message) -> None:
    """Child: say something to the parent."""
    _parent().send(message)


def hear() -> Message:
    """Child: wait for the parent's next message. The parent has gone: end this process."""
    try:
        message: Message = _parent().recv()
    except (EOFError, ConnectionResetError):
        os._exit(0)
    return message


def fail(reason: str) -> None:
    """Child: say why it cannot go on, and end."""
    tell({"error": reason})
    sys.exit(1)


def enter() -> None:
    """Child: run the module that it is for; what it cannot do is told to the parent."""
    name = sys.argv[1]
    try:
        import_module(f"tools.bench.{name}").run(hear())
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        fail(f"{name.rpartition('.')[2]}: {error}")


def end_with_parent() -> None:
    """Child: end when the parent does, whatever else this process waits for."""

    def wait() -> None:
        while True:
            hear()

    threading.Thread(target=wait, daemon=True).start()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; kill one that does not. Safe to call twice."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Child:
    """Parent: a process that runs one module of these tools, at most while entered.

    Args:
        module: its name within `tools.bench`, as `harness.receiver`.
        config: what its `run` is given.
        env: variables beside those of this process.
    """

    def __init__(self, module: str, config: Message, env: Mapping[str, str] | None = None) -> None:
        self.name = module.rpartition(".")[2]
        self._pipe, theirs = Pipe()
        with theirs:
            descriptor = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", _ENTER, module, str(descriptor)],
                pass_fds=[descriptor],
                cwd=_ROOT,
                env={**os.environ, **(env or {})},
            )
        self.pid = self._process.pid
        self.say(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def say(self, message: Message) -> None:
        """Send a message.

        Raises:
            ChildError: the process has ended.
        """
        try:
            self._pipe.send(message)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ChildError(f"{self.name} has ended") from error

    def read(self, timeout_seconds: float) -> Message:
        """The next message.

        Raises:
            ChildError: the process said that it failed, ended, or is silent for too long.
        """
        if not self._pipe.poll(timeout_seconds):
            raise ChildError(f"{self.name} said nothing for {timeout_seconds:g} s")
        try:
            message: Message = self._pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            code = self._process.wait()
            raise ChildError(f"{self.name} ended with exit code {code}") from error
        if "error" in message:
            raise ChildError(str(message["error"]))
        return message

    def ask(self, message: Message, timeout_seconds: float) -> Message:
        """Send a message and wait for the answer."""
        self.say(message)
        return self.read(timeout_seconds)

    def stop(self) -> None:
        """End it. Safe to call twice."""
        self._pipe.close()
        end(self._process)
