"""Has files opened in other processes: what a server does before it plays one, and all of it.

A reader is kept for the next file, since starting one takes longer than reading a file.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from phantomlink.errors import RecordingError
from phantomlink.recordings.catalogue.facts import Facts, FactsCache
from phantomlink.recordings.catalogue.reader import CHILD_SECONDS, READY, Answer
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.read_contents import receive

# As much as the system allows; it has fewer turns to take then.
_SEND_BYTES = 2**20
# Not by -m, where what it sends would be of __main__.
_PROGRAM = [
    sys.executable,
    "-c",
    "from phantomlink.recordings.catalogue.reader import main; main()",
]


class Readers:
    """Processes that read files; close them in the end. For several threads.

    Args:
        child_seconds: longest that reading a file may take.
        started: is told the id of each process that was started.
    """

    def __init__(
        self,
        child_seconds: float = CHILD_SECONDS,
        started: Callable[[int], None] = lambda process: None,
    ) -> None:
        self._child_seconds = child_seconds
        self._tell_started = started
        self._idle: list[_Reader] = []
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def has_idle(self) -> bool:
        """Whether one is there that waits for a file, with all imported that it needs."""
        with self._lock:
            self._idle = [reader for reader in self._idle if reader.process.poll() is None]
            return any(reader.is_ready for reader in self._idle)

    def start(self) -> None:
        """Start one for the next file, unless one is there; does not wait until it is ready."""
        with self._lock:
            if self._idle:
                return
        self._keep(self._started())

    def read(self, path: Path, options: SeriesOptions, rates_hz: Sequence[Fraction] = ()) -> Answer:
        """What a process found in a file; blocks for as long as that takes.

        Args:
            path: of the file.
            options: to open it with.
            rates_hz: of bins that are wanted, too.

        Raises:
            RecordingError: the file is refused, or opening it took the process down, or too long.
        """
        asked = os.fsencode(path).hex(), asdict(options), [*map(str, rates_hz)]
        request = json.dumps(asked).encode() + b"\n"
        while True:
            reader, was_idle = self._taken()
            timed_out = threading.Event()
            late = threading.Timer(self._child_seconds, _give_up, (reader, timed_out))
            late.daemon = True
            late.start()
            try:
                answer = reader.ask(request)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                code = reader.ended()
                if code == 0 and was_idle:
                    # It had waited long enough and went when the request came.
                    continue
                if timed_out.is_set():
                    how = f"opening it takes longer than {self._child_seconds:g} s"
                else:
                    how = f"damaged: opening it ends the process that tries ({_ending(code)})"
                raise RecordingError(f"{path}: {how}") from None
            except BaseException:
                reader.kill()
                raise
            finally:
                late.cancel()
            self._keep(reader)
            assert isinstance(answer, Answer)
            if answer.refused is not None:
                raise RecordingError(answer.refused)
            return answer

    def close(self) -> None:
        """End those that wait; one that is reading ends when it is done."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.kill()

    def _taken(self) -> tuple[_Reader, bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return self._started(), False

    def _started(self) -> _Reader:
        reader = _Reader()
        self._tell_started(reader.process.pid)
        return reader

    def _keep(self, reader: _Reader) -> None:
        with self._lock:
            if not self._is_closed and not self._idle:
                self._idle.append(reader)
                return
        reader.kill()


def describe(path: Path, options: SeriesOptions, cache: FactsCache, readers: Readers) -> Facts:
    """Facts of a file, from the cache, or else from a process that opens it; blocks.

    Raises:
        RecordingError: it is refused, or opening it took the process down, or too long.
    """
    known = cache.get(path, options)
    if known is None:
        known = readers.read(path, options).facts
        assert known is not None
    return known


class _Reader:
    """One process, which reads files one after the other."""

    def __init__(self) -> None:
        # Not a pipe, which cannot be asked for all at once: each part of megabytes would have this
        # thread take the interpreter from those that send packets.
        self._channel: socket.socket | None = None
        theirs: socket.socket | None = None
        if sys.platform != "win32":
            self._channel, theirs = socket.socketpair()
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        # Nothing was read yet, not even that it is ready.
        self._is_new = True
        try:
            self.process = subprocess.Popen(
                _PROGRAM,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if theirs is None else theirs.fileno(),
                stderr=subprocess.DEVNULL,
                bufsize=0,
                # Ctrl-C is ours.
                start_new_session=True,
                # One file at a time: threads of BLAS would have nothing to do.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )
        except BaseException:
            if self._channel is not None:
                self._channel.close()
            raise
        finally:
            if theirs is not None:
                theirs.close()

    @property
    def is_ready(self) -> bool:
        """Whether it has said so; where a pipe cannot be asked, it is taken to be."""
        if not self._is_new or self._channel is None:
            return True
        # Not select: it takes no descriptor above 1023.
        said = select.poll()
        said.register(self._channel, select.POLLIN)
        return bool(said.poll(0))

    def ask(self, request: bytes) -> object:
        """Have it read a file; blocks.

        Raises:
            EOFError, BrokenPipeError, ConnectionResetError: it has ended.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(request)
        if self._is_new:
            self._read_into(memoryview(bytearray(len(READY))))
            self._is_new = False
        return receive(self._read_into)

    def kill(self) -> None:
        """End it."""
        self.process.kill()
        self.ended()

    def ended(self) -> int:
        """Let go what belongs to it; its exit code, once it has ended."""
        for stream in (self.process.stdin, self.process.stdout, self._channel):
            if stream is not None:
                stream.close()
        return self.process.wait()

    def _read_into(self, view: memoryview) -> int | None:
        if self._channel is not None:
            return self._channel.recv_into(view, 0, socket.MSG_WAITALL)
        assert self.process.stdout is not None
        count: int | None = self.process.stdout.readinto(view)  # type: ignore[attr-defined]
        return count


def _give_up(reader: _Reader, timed_out: threading.Event) -> None:
    timed_out.set()
    reader.process.kill()


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
