"""What the server's REST says, asked from beside the stream: no answer is an answer too."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Mapping
from typing import Any

REST_SECONDS = 2.0


def call(
    url: str, method: str = "GET", headers: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """The JSON object that a URL answers with; None when there is none. Blocks."""
    # Without proxies: the stream itself was reached without one.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
    try:
        with opener.open(request, timeout=REST_SECONDS) as answer:
            return json_object(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return None


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that a body is; None when it is not one."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def why_silent(said: str, session: dict[str, Any], api_url: str, code: str) -> str:
    """What the server's answer about a session says of its silence.

    Args:
        said: that it is silent.
        session: the answer.
        api_url: of the server; no slash at its end.
        code: of the session.
    """
    if session.get("is_paused") is True:
        return (
            f"{said}: the session is paused; POST {api_url}/api/control/{code}/resume lets it go on"
        )
    running = "it is running" if session.get("is_running") else "it is not running"
    return f"{said}; the server says of the session that {running}"
