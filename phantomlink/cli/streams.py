"""stdout and stderr as they are: with few letters, closed, full, or a pipe that nobody reads."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import TextIO

# What tables and bars are drawn with, and what does in its place.
_DRAWN = str.maketrans("─━│┃╸╺═█•…µ", "--||--=#*.u")
_ERRORS = "phantomlink.shown"


def open_streams() -> None:
    """Let anything be printed: what the stream has no letters for is drawn otherwise or escaped.

    Without this, a recording whose description has a µ ends a command on a terminal of cp1252.
    """
    codecs.register_error(_ERRORS, _show)
    sys.stdout = _opened(sys.stdout)
    sys.stderr = _opened(sys.stderr)


def drop_output() -> None:
    """Let what is still to be written go nowhere: the reader has left, or the disk is full.

    The interpreter would try once more at its end, and say so.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _opened(stream: TextIO | None) -> TextIO:
    if stream is None:
        # It was closed when the process began.
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=_ERRORS)
    return stream


def _show(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    drawn = error.object[error.start : error.end].translate(_DRAWN)
    escaped = drawn.encode("ascii", "backslashreplace").decode("ascii")
    return escaped, error.end
