"""Errors as RFC 9457 problem details, whoever raised them.

`type` is always "about:blank": what happened is told by `status` and `title`, and `detail` says
what came and what is allowed. Clients that must tell two errors of one status apart read `title`.
"""

from __future__ import annotations

import json
import logging

from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException
from werkzeug.routing import WebsocketMismatch

from phantomlink.errors import PhantomLinkError

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"

_INTERNAL_ERROR = "something went wrong in the server; its log says what"


def problem_response(error: PhantomLinkError) -> Response:
    """The answer to a request that met one of our own errors."""
    headers = dict(getattr(error, "headers", ()))
    retry_after = getattr(error, "retry_after_seconds", None)
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return _problem(error.http_status, error.title, str(error), headers)


def register_problems(app: QuartTrio) -> None:
    """Let every error of the application be answered with problem details."""
    app.register_error_handler(PhantomLinkError, _own_error)
    app.register_error_handler(HTTPException, _framework_error)
    app.register_error_handler(Exception, _unexpected_error)


async def _own_error(error: PhantomLinkError) -> Response:
    if error.http_status == 500:
        return await _unexpected_error(error)
    return problem_response(error)


async def _framework_error(error: HTTPException) -> Response:
    """What routing and the reading of bodies refuse: 404, 405, 408, 413, ..."""
    status = error.code or 500
    headers = {k: v for k, v in error.get_headers() if k.lower() != "content-type"}
    return _problem(status, error.name, _detail(status, error, headers), headers)


def _detail(status: int, error: HTTPException, headers: dict[str, str]) -> str:
    method, path = _asked()
    if isinstance(error, WebsocketMismatch):
        if has_websocket_context():
            return f"{path!r} is no WebSocket; streams are at /stream/ and /stream/binary/"
        return f"{path!r} is for WebSockets, and this is a plain {method}"
    if status == 404:
        return f"nothing at {path!r}; /docs lists what there is"
    if status == 405:
        return f"{path!r}: got {method}, takes {headers.get('Allow', 'other methods')}"
    if status == 413:
        return f"the body takes at most {request.max_content_length} bytes"
    return error.description or error.name


async def _unexpected_error(error: Exception) -> Response:
    """A bug of ours. This is a boundary: it is logged once, and costs this request alone."""
    logger.error("%s %s failed", *_asked(), exc_info=error)
    return _problem(500, "Internal error", _INTERNAL_ERROR, {})


def _asked() -> tuple[str, str]:
    """Method and path of what is being answered, which may be a WebSocket's upgrade."""
    if has_websocket_context():
        return "WebSocket", websocket.path
    return request.method, request.path


def _problem(status: int, title: str, detail: str, headers: dict[str, str]) -> Response:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(body), status, headers, content_type=PROBLEM_TYPE)
