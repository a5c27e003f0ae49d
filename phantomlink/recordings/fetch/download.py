"""Fetches one file: goes on where an earlier try ended, and checks the whole at the end.

Beside the target lie `.NAME.nwb.part`, what has come so far, and `.NAME.nwb.part.json`, which says
of what it is: ETag, size, and the hash that is wanted. A part of something else is thrown away.
Only a file whose length and SHA-256 are right gets the target's name.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from io import FileIO
from pathlib import Path

import requests

from phantomlink.files.lock import lock_nowait
from phantomlink.files.regular import read_regular
from phantomlink.recordings.fetch.dandi import Remote
from phantomlink.recordings.fetch.errors import (
    FetchConflictError,
    FetchError,
    NoRoomError,
    TransientError,
)
from phantomlink.recordings.fetch.http import opened, reason_of
from phantomlink.recordings.identity import sha256_of

TRIES = 5
BLOCK_BYTES = 2**16
_SPARE = 1.05
_FIRST_PAUSE_SECONDS = 1.0
_MAX_STATE_BYTES = 65536

Progress = Callable[[int, int | None], None]
"""Called with bytes that are there and bytes in all, None when that is not known."""


@dataclass(frozen=True, slots=True)
class _PartState:
    """Of what the part is."""

    sha256: str
    etag: str | None
    size: int | None


class Download:
    """The fetching of one file.

    Args:
        target: where the file is to be; its folder is made.
        session: of requests.
        progress: see `Progress`.
        sleep: between tries.
    """

    def __init__(
        self,
        target: Path,
        session: requests.Session,
        progress: Progress = lambda done, total: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self.part = target.with_name(f".{target.name}.part")
        self._state_path = self.part.with_name(f"{self.part.name}.json")
        self._new_state_path = self.part.with_name(f"{self.part.name}.json.new")
        self._session = session
        self._progress = progress
        self._sleep = sleep

    def run(self, remote: Callable[[], Remote]) -> Remote:
        """Fetch it.

        Args:
            remote: what to fetch; asked for inside the tries, since asking may fail too.

        Raises:
            FetchError: it cannot be had; of what had come the part is kept, unless it is wrong.
        """
        self._target.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if self._target.exists():
                raise FetchConflictError(f"{self._target}: is there already")
            found = self._tried(remote)
            self._finish(found)
        return found

    def _tried(self, remote: Callable[[], Remote]) -> Remote:
        pause = _FIRST_PAUSE_SECONDS
        for left in reversed(range(TRIES)):
            before = self._size()
            try:
                found = remote()
                self._transfer(found)
            except TransientError as error:
                if not left:
                    raise FetchError(
                        f"{error}, after {TRIES} tries; {self.how_to_go_on}"
                    ) from error
                self._sleep(pause if error.wait_seconds is None else error.wait_seconds)
                # One that gets on has not failed for the same reason twice.
                pause = _FIRST_PAUSE_SECONDS if self._size() > before else 2 * pause
            else:
                return found
        raise AssertionError("unreachable")

    @property
    def how_to_go_on(self) -> str:
        """What a person is told when it ends before its end."""
        kept = self._size()
        if not kept:
            return "nothing has come yet; the same command tries again"
        return f"{kept / 1e6:.1f} MB are kept; the same command goes on from there"

    def _transfer(self, remote: Remote) -> None:
        """Get what is missing of it."""
        state = self._known_state(remote)
        have = self._size() if state.etag or remote.size else 0
        if remote.size is not None and have == remote.size:
            return
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if state.etag:
                headers["If-Range"] = state.etag
        with opened(self._session, remote.url, headers) as answer:
            if answer.status_code == 416:
                self._throw_away()
                if remote.size is not None:
                    raise FetchError(f"{remote.url}: has fewer than the {remote.size} bytes told")
                raise TransientError(f"{remote.url}: has not so many bytes as have come already")
            goes_on = answer.status_code == 206 and _starts_at(answer) == have
            if answer.status_code == 206 and not goes_on:
                raise TransientError(f"{remote.url}: answers with another range than was asked for")
            have = have if goes_on else 0
            total = remote.size or _total(answer, have)
            self._check_room(total, have)
            self._keep(replace(state, etag=_strong_etag(answer), size=total))
            self._receive(answer, have, total)
        if total is not None and self._size() != total:
            if self._size() > total:
                self._throw_away()
                raise FetchError(f"{remote.url}: has more than the {total} bytes that were told")
            raise TransientError(f"{remote.url}: broke off")

    def _receive(self, answer: requests.Response, have: int, total: int | None) -> None:
        # Not buffered: what cannot be written now would be tried again, and fail again, at the end.
        with self.part.open("r+b" if have else "wb", buffering=0) as part:
            part.seek(have)
            part.truncate()
            try:
                for block in answer.iter_content(BLOCK_BYTES):
                    self._write(part, block)
                    have += len(block)
                    self._progress(have, total)
                    if total is not None and have > total:
                        break
            except requests.RequestException as error:
                raise TransientError(f"{answer.url}: {reason_of(error)}") from error

    def _write(self, part: FileIO, block: bytes) -> None:
        left = memoryview(block)
        try:
            while left:
                # A disk that is nearly full takes some of it.
                left = left[part.write(left) :]
        except OSError as error:
            raise NoRoomError(
                f"{self.part}: cannot be written: {error.strerror}; {self.how_to_go_on}"
            ) from error

    def _finish(self, remote: Remote) -> None:
        size = self._size()
        if remote.size is not None and size != remote.size:
            self._throw_away()
            raise FetchError(f"{remote.url}: {size} bytes have come, {remote.size} were announced")
        got = sha256_of(self.part)
        if got != remote.sha256:
            self._throw_away()
            raise FetchError(
                f"{remote.url}: what has come has SHA-256 {got}, {remote.sha256} is wanted; it was "
                "thrown away"
            )
        with self.part.open("rb+") as part:
            os.fsync(part.fileno())
        self.part.replace(self._target)
        self._state_path.unlink(missing_ok=True)
        self._new_state_path.unlink(missing_ok=True)

    def _check_room(self, total: int | None, have: int) -> None:
        if total is None:
            return
        free = shutil.disk_usage(self.part.parent).free
        needed = total * _SPARE - have
        if free < needed:
            raise NoRoomError(
                f"{self.part.parent}: {needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are "
                "free; make room, or name another folder with --data-dir"
            )

    def _known_state(self, remote: Remote) -> _PartState:
        """Of what the part is; a part of something else is thrown away."""
        try:
            said = json.loads(read_regular(self._state_path, _MAX_STATE_BYTES))
            state = _PartState(**said)
        except (OSError, ValueError, TypeError):
            state = None
        is_same = state is not None and state.sha256 == remote.sha256
        if state is None or not is_same or remote.size not in (None, state.size):
            self._throw_away()
            return _PartState(remote.sha256, None, remote.size)
        return state

    def _keep(self, state: _PartState) -> None:
        # Whole at any moment, since nobody knows what a part without it is of. A process that is
        # killed here leaves a file that the next one, which has the lock, overwrites.
        try:
            self._new_state_path.write_text(json.dumps(asdict(state)), encoding="utf-8")
            self._new_state_path.replace(self._state_path)
        except OSError:
            self._new_state_path.unlink(missing_ok=True)
            raise

    def _throw_away(self) -> None:
        for path in (self.part, self._state_path, self._new_state_path):
            path.unlink(missing_ok=True)

    def _size(self) -> int:
        try:
            return self.part.stat().st_size
        except OSError:
            return 0

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One at a time fetches it, whoever asks."""
        lock = self.part.with_name(f"{self.part.name}.lock")
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                lock_nowait(descriptor)
            except BlockingIOError:
                raise FetchConflictError(
                    f"{self._target}: is being fetched by another process"
                ) from None
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _starts_at(answer: requests.Response) -> int | None:
    said = answer.headers.get("Content-Range", "")
    first = said.removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdigit() else None


def _total(answer: requests.Response, have: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return have + int(length) if length.isdigit() else None


def _strong_etag(answer: requests.Response) -> str | None:
    """Only a strong one may stand in If-Range (RFC 9110, 13.1.5)."""
    etag = answer.headers.get("ETag")
    return None if etag is None or etag.startswith("W/") else str(etag)
