"""Reads a journal: whole, cut at any byte, or still being written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from phantomlink.captures.framing import DamagedError, read_bodies
from phantomlink.captures.journal_writer import segment_paths
from phantomlink.captures.records import End, Header, Record, record_of
from phantomlink.errors import CaptureError
from phantomlink.files.regular import open_regular

RECOVERED = "recovered"
"""The state of a capture that has no end: its process died."""


class Journal:
    """One capture, as its journal has it.

    Args:
        path: of `ID.plj`.

    Attributes:
        header: the latest that was read; at first, the first one.
        end: of the capture, once it has been read; None: it has none, or not yet.
        damage: what ended the reading; None when nothing did.
        is_in_parts: whether its records lie in several files, those before `ID.plj` among them.

    Raises:
        CaptureError: it cannot be opened, or does not begin with a header.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end: End | None = None
        self.damage: str | None = None
        finished = segment_paths(path)
        try:
            self.header = self._first_header(path)
        except CaptureError:
            if not finished:
                raise
            # The process died between two segments.
            path = finished[-1]
            self.header = self._first_header(path)
        self._paths = [path]
        before = self.header.segment
        self.is_in_parts = before > 0 or path != self.path
        if before:
            if len(finished) < before:
                raise CaptureError(
                    f"{path}: segment {before} of a capture, and of those before it only "
                    f"{len(finished)} are here"
                )
            self._paths = [*finished[:before], path]
            self.header = self._first_header(self._paths[0])

    @property
    def state(self) -> str:
        """`complete`, `torn` or `recovered`; of one that has been read to its end."""
        return self.end.state if self.end is not None else RECOVERED

    def records(self) -> Iterator[Record]:
        """Every record that is whole, in the order of writing, but for headers.

        What follows something damaged is not read: `damage` says so afterwards.
        """
        self.end = self.damage = None
        for path in self._paths:
            try:
                yield from self._records_of(path)
            except (OSError, ValueError) as error:
                self.damage = f"{path.name}: {error}"
                return

    def _records_of(self, path: Path) -> Iterator[Record]:
        with open_regular(path) as file:
            for body in read_bodies(file):
                record = record_of(body)
                if isinstance(record, Header):
                    self.header = record
                elif isinstance(record, End):
                    self.end = record
                    return
                elif record is not None:
                    yield record

    @staticmethod
    def _first_header(path: Path) -> Header:
        try:
            with open_regular(path) as file:
                header = record_of(next(read_bodies(file), ["?"]))
        except (OSError, DamagedError, ValueError) as error:
            raise CaptureError(f"{path}: not a journal: {error}") from error
        if not isinstance(header, Header):
            raise CaptureError(f"{path}: not a journal: it does not begin with a header")
        return header
