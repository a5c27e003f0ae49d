"""What is answered to a request, whoever sends it."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from phantomlink.errors import PhantomLinkError
from phantomlink.rest.records import encode_json
from phantomlink.scheduling.worker_thread import run_in_thread_patiently

logger = logging.getLogger(__name__)

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
PIECE_BYTES = 256 * 1024
# Of CORS: what every answer depends on.
_VARY = "Origin"
# A browser takes an answer for what it says it is, and tells nobody whose page it comes from: a
# session's code may stand in that address.
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))
_INTERNAL_ERROR = "something went wrong in the server; its log says what"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FilePart:
    """A range of bytes of a file, as a body.

    Attributes:
        path: of the file.
        start: first byte.
        n_bytes: of the range.
    """

    path: Path
    start: int
    n_bytes: int

    def __len__(self) -> int:
        return self.n_bytes


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, without what HTTP itself adds (length, date).

    Attributes:
        body: as it is sent; that of a GET also where a HEAD asked.
        status: of HTTP.
        content_type: of the body; "" for an answer that has none.
        headers: beside those.
        vary: headers of the request that it depends on, beside those of CORS.
    """

    body: bytes | FilePart
    status: int = 200
    content_type: str = JSON_TYPE
    headers: Headers = ()
    vary: tuple[str, ...] = ()

    def with_headers(self, headers: Headers) -> Response:
        """The same, with further headers."""
        return replace(self, headers=(*self.headers, *headers))

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Every header as servers take them: names in lower case."""
        own: list[tuple[str, str]] = []
        if self.content_type:
            own = [("content-type", self.content_type), ("content-length", str(len(self.body)))]
        own.append(("vary", ", ".join((*self.vary, _VARY))))
        texts = (*self.headers, *own)
        return [
            *((name.lower().encode(), value.encode("latin-1")) for name, value in texts),
            *_ALWAYS,
        ]

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body in pieces of at most `PIECE_BYTES`. A file is read in a worker thread.

        To be used in `contextlib.aclosing`: it may hold a file.

        Raises:
            OSError: the file cannot be read.
            EOFError: it is shorter than it was.
        """
        if isinstance(self.body, bytes):
            for start in range(0, len(self.body), PIECE_BYTES):
                yield self.body[start : start + PIECE_BYTES]
            return
        left = self.body.n_bytes
        # The head is on its way already: where there is no thread now, the client waits.
        with await run_in_thread_patiently(_open, self.body.path) as file:
            file.seek(self.body.start)
            while left:
                piece = await run_in_thread_patiently(file.read, min(left, PIECE_BYTES))
                if not piece:
                    raise EOFError(f"{self.body.path}: ends {left} bytes early")
                left -= len(piece)
                yield piece


def _open(path: Path) -> BinaryIO:
    return path.open("rb")


def json_response(value: Any, vary: tuple[str, ...] = ()) -> Response:
    """A record, or whatever else JSON can say."""
    return Response(encode_json(value), vary=vary)


def problem(status: int, title: str, detail: str, headers: Headers = ()) -> Response:
    """What went wrong, as problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    # Not msgspec: what came may be no Unicode, and is shown.
    return Response(json.dumps(body).encode(), status, PROBLEM_TYPE, headers)


def error_response(error: PhantomLinkError) -> Response:
    """What one of our own errors means to the client that met it."""
    headers: Headers = error.headers
    if error.retry_after_seconds is not None:
        headers = (*headers, ("Retry-After", str(error.retry_after_seconds)))
    return problem(error.http_status, error.title, str(error), headers)


def failure_response(method: str, path: str, error: Exception) -> Response:
    """A request met one of our own errors, or a bug of ours: that is logged once."""
    if isinstance(error, PhantomLinkError) and error.http_status != 500:
        return error_response(error)
    logger.error("%s %s failed", method, path, exc_info=error)
    return problem(500, "Internal error", _INTERNAL_ERROR)
