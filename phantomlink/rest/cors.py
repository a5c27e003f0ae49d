"""Which pages may call this: our own, those of localhost, those named, and never with cookies.

A page of another origin may not read an answer; `AccessPolicy` keeps it from changing anything and
from listening. (quart-cors takes lists and patterns of origins, no function, so it would need the
rule a second time.)
"""

from __future__ import annotations

from collections.abc import Callable

from quart import Response, request
from quart_trio import QuartTrio

from phantomlink.access.origins import OriginRule

_METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
# "*" stands for every header but Authorization.
_HEADERS = "*, Authorization"
_EXPOSED = "Retry-After, WWW-Authenticate"
_MAX_AGE_SECONDS = "600"
# What every answer depends on.
VARY = "Origin"


def register_cors(app: QuartTrio, get_origins: Callable[[], OriginRule]) -> None:
    """Answer preflights, and name the allowed origin in every answer to it.

    Args:
        app: the application.
        get_origins: gives the rule.
    """
    cors = _Cors(get_origins)
    app.before_request(_answer_preflight)
    app.after_request(cors.allow_origin)


class _Cors:
    """What is done after each request."""

    def __init__(self, get_origins: Callable[[], OriginRule]) -> None:
        self._get_origins = get_origins

    async def allow_origin(self, response: Response) -> Response:
        """Let a page of an allowed origin read the answer."""
        response.vary.add(VARY)
        allowing = allowing_headers(request.headers.get("Origin"), self._get_origins())
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


async def _answer_preflight() -> Response | None:
    headers = request.headers
    preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in headers
    if not preflight or "Origin" not in headers:
        return None
    response = Response(b"", 204)
    for name in ("Content-Type", "Content-Length"):
        del response.headers[name]
    return response


def allowing_headers(origin: str | None, origins: OriginRule) -> tuple[tuple[str, str], ...]:
    """What lets a page read the answer to its GET; nothing for a page that may not."""
    # A page of our own host needs no leave, so the host does not matter here.
    if origin is None or not origins.allows(origin, host=""):
        return ()
    return (
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", _EXPOSED),
    )
