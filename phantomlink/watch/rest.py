"""What the server's REST says, asked from beside the stream: no answer is an answer too."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What came of a request.

    Attributes:
        status: of HTTP; None when no server answered.
        body: the JSON object; None when it was none.
    """

    status: int | None = None
    body: dict[str, Any] | None = None

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked for."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def detail(self) -> str | None:
        """What a server that refuses says of why."""
        problem = self.body or {}
        said = problem.get("detail") or problem.get("title")
        return None if said is None else str(said)


def ask(url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> RestAnswer:
    """What a URL answers with. Blocks."""
    # Without proxies: the stream itself was reached without one.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with opener.open(request, timeout=REST_SECONDS) as answer:
            return RestAnswer(answer.status, json_object(answer.read()))
    except urllib.error.HTTPError as error:
        with error:
            return RestAnswer(error.code, _body(error))
    except (OSError, ValueError, http.client.HTTPException):
        return RestAnswer()


def _body(error: urllib.error.HTTPError) -> dict[str, Any] | None:
    try:
        return json_object(error.read())
    except (OSError, http.client.HTTPException):
        return None


def call(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """The JSON object that a URL answers with; None when there is none. Blocks."""
    answer = ask(url, method, headers)
    return answer.body if answer.is_success else None


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is; None when it is not one."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
