"""Has files opened in other processes: what a server does before it plays one, and all of it.

A reader is kept for the next file, since starting one takes longer than reading a file.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from weakref import WeakSet

from phantomlink.errors import RecordingError
from phantomlink.recordings.catalogue.facts import Facts, FactsCache
from phantomlink.recordings.catalogue.reader import CHILD_SECONDS, READY, Answer
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.read_contents import receive

_PIPE_BYTES = 2**20
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
        self._idle: list[subprocess.Popen[bytes]] = []
        # Those of which nothing was read yet, not even that they are ready.
        self._new: WeakSet[subprocess.Popen[bytes]] = WeakSet()
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def has_idle(self) -> bool:
        """Whether one is there that waits for a file, with all imported that it needs."""
        with self._lock:
            self._idle = [reader for reader in self._idle if reader.poll() is None]
            return any(reader not in self._new or _is_ready(reader) for reader in self._idle)

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
                assert reader.stdin is not None
                assert reader.stdout is not None
                reader.stdin.write(request)
                if reader in self._new:
                    reader.stdout.read(len(READY))
                    self._new.discard(reader)
                answer = receive(reader.stdout)  # type: ignore[arg-type]
            except (EOFError, BrokenPipeError):
                code = _ended(reader)
                if code == 0 and was_idle:
                    # It had waited long enough and went when the request came.
                    continue
                if timed_out.is_set():
                    how = f"opening it takes longer than {self._child_seconds:g} s"
                else:
                    how = f"damaged: opening it ends the process that tries ({_ending(code)})"
                raise RecordingError(f"{path}: {how}") from None
            except BaseException:
                _killed(reader)
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
            _killed(reader)

    def _taken(self) -> tuple[subprocess.Popen[bytes], bool]:
        with self._lock:
            if self._idle:
                return self._idle.pop(), True
        return self._started(), False

    def _started(self) -> subprocess.Popen[bytes]:
        reader = _started()
        self._tell_started(reader.pid)
        self._new.add(reader)
        return reader

    def _keep(self, reader: subprocess.Popen[bytes]) -> None:
        with self._lock:
            if not self._is_closed and not self._idle:
                self._idle.append(reader)
                return
        _killed(reader)


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


def _started() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        _PROGRAM,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        pipesize=_PIPE_BYTES,
        # Ctrl-C is ours.
        start_new_session=True,
        # One file at a time: threads of BLAS would have nothing to do.
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )


def _is_ready(reader: subprocess.Popen[bytes]) -> bool:
    """Whether it has said so; where a pipe cannot be asked, it is taken to be."""
    assert reader.stdout is not None
    if not hasattr(select, "poll"):
        return True
    # Not select: it takes no descriptor above 1023.
    said = select.poll()
    said.register(reader.stdout, select.POLLIN)
    return bool(said.poll(0))


def _ended(reader: subprocess.Popen[bytes]) -> int:
    for stream in (reader.stdin, reader.stdout):
        if stream is not None:
            stream.close()
    return reader.wait()


def _give_up(reader: subprocess.Popen[bytes], timed_out: threading.Event) -> None:
    timed_out.set()
    reader.kill()


def _killed(reader: subprocess.Popen[bytes]) -> None:
    reader.kill()
    _ended(reader)


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
