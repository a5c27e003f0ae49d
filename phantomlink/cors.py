"""Which pages may call this: those of localhost and our own, and never with credentials.

A page of another origin may not read an answer, nor change anything. The rule is that of the
WebSockets, `is_origin_allowed`. (quart-cors takes lists and patterns of origins, no function, so
it would need the rule a second time.)
"""

from __future__ import annotations

from quart import Response, request
from quart_trio import QuartTrio

from phantomlink.errors import OriginNotAllowedError
from phantomlink.sinks.admission import is_origin_allowed

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
# "*" stands for every header but Authorization.
_HEADERS = "*, Authorization"
_EXPOSED = "Retry-After"
_MAX_AGE_SECONDS = "600"
# What every answer depends on.
VARY = "Origin"


def register_cors(app: QuartTrio) -> None:
    """Answer preflights, and name the allowed origin in every answer to it."""
    app.before_request(_refuse_foreign_writes)
    app.before_request(_answer_preflight)
    app.after_request(_allow_origin)


async def _refuse_foreign_writes() -> None:
    """A browser lets any page send a simple POST; only the answer would be kept from it."""
    origin = request.headers.get("Origin")
    if origin is None or request.method in _SAFE_METHODS:
        return
    if not is_origin_allowed(origin, request.host):
        raise OriginNotAllowedError(
            f"origin: got {origin!r}, takes this server's own or one on localhost"
        )


async def _answer_preflight() -> Response | None:
    headers = request.headers
    preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in headers
    if not preflight or "Origin" not in headers:
        return None
    response = Response(b"", 204)
    for name in ("Content-Type", "Content-Length"):
        del response.headers[name]
    return response


def allowing_headers(origin: str | None) -> tuple[tuple[str, str], ...]:
    """What lets a page read the answer to its GET; nothing for a page that may not."""
    # A page of our own host needs no leave, so the host does not matter here.
    if origin is None or not is_origin_allowed(origin, host=""):
        return ()
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
    )


async def _allow_origin(response: Response) -> Response:
    response.vary.add(VARY)
    allowing = allowing_headers(request.headers.get("Origin"))
    if not allowing:
        return response
    headers = response.headers
    for name, value in allowing:
        headers[name] = value
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        headers["Access-Control-Allow-Methods"] = _METHODS
        headers["Access-Control-Allow-Headers"] = _HEADERS
        headers["Access-Control-Max-Age"] = _MAX_AGE_SECONDS
    return response
