"""Errors as RFC 9457 problem details, whoever raised them.

`type` is always "about:blank": what happened is told by `status` and `title`, and `detail` says
what came and what is allowed. Clients that must tell two errors of one status apart read `title`.
"""

from __future__ import annotations

import logging

from quart import Response, has_websocket_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.routing import WebsocketMismatch

from phantomlink.errors import PhantomLinkError
from phantomlink.rest.responses import Answer, error_answer, problem_answer

logger = logging.getLogger(__name__)

_INTERNAL_ERROR = "something went wrong in the server; its log says what"


def response(answer: Answer) -> Response:
    """An answer as the framework has it."""
    headers = Headers(answer.headers)
    made = Response(answer.body, answer.status, headers, content_type=answer.content_type)
    made.vary.update(answer.vary)
    return made


def problem_response(error: PhantomLinkError) -> Response:
    """The answer to a request that met one of our own errors."""
    return response(error_answer(error))


def failed(method: str, path: str, error: Exception) -> Answer:
    """A request met one of our own errors, or a bug of ours: that is logged once."""
    if isinstance(error, PhantomLinkError) and error.http_status != 500:
        return error_answer(error)
    logger.error("%s %s failed", method, path, exc_info=error)
    return problem_answer(500, "Internal error", _INTERNAL_ERROR)


def register_problems(app: QuartTrio) -> None:
    """Let every error of the application be answered with problem details."""
    app.register_error_handler(PhantomLinkError, _failure)
    app.register_error_handler(HTTPException, _framework_error)
    app.register_error_handler(Exception, _failure)


async def _failure(error: Exception) -> Response:
    """One of our own errors, or a bug. This is a boundary: it costs this request alone."""
    return response(failed(*_asked(), error))


async def _framework_error(error: HTTPException) -> Response:
    """What routing and the reading of bodies refuse: 404, 405, 408, 413, ..."""
    status = error.code or 500
    headers = {k: v for k, v in error.get_headers() if k.lower() != "content-type"}
    detail = _detail(status, error, headers)
    return response(problem_answer(status, error.name, detail, tuple(headers.items())))


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


def _asked() -> tuple[str, str]:
    """Method and path of what is being answered, which may be a WebSocket's upgrade."""
    if has_websocket_context():
        return "WebSocket", websocket.path
    return request.method, request.path
