"""What is answered to a request, whoever sends it: the front, an ASGI server or the framework."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from phantomlink.errors import PhantomLinkError

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, without what HTTP itself adds (length, date) and without CORS.

    Attributes:
        body: as it is sent.
        status: of HTTP.
        content_type: of the body.
        headers: beside those.
        vary: headers of the request that it depends on, beside those of CORS.
    """

    body: bytes
    status: int = 200
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    vary: tuple[str, ...] = ()


def dumps(value: Any) -> str:
    """JSON as clients get it."""
    return _ENCODER.encode(value)


def json_answer(value: Any) -> Answer:
    """The usual answer."""
    return Answer(dumps(value).encode())


def problem_answer(
    status: int, title: str, detail: str, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """What went wrong, as problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(json.dumps(body).encode(), status, PROBLEM_TYPE, headers)


def error_answer(error: PhantomLinkError) -> Answer:
    """What one of our own errors means to the client that met it."""
    headers: tuple[tuple[str, str], ...] = tuple(getattr(error, "headers", ()))
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        headers = (*headers, ("Retry-After", str(retry_after)))
    return problem_answer(error.http_status, error.title, str(error), headers)
