"""From a parsed request to its answer, whoever has parsed it.

No framework and no server is in it: `phantomlink serve`, the ASGI application and tests call the
same function.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from phantomlink.access.origins import OriginRule
from phantomlink.errors import PhantomLinkError, SessionElsewhereError
from phantomlink.rest.cors import allowing_headers, preflight_headers
from phantomlink.rest.request import ReadBody, Request, RequestHead, RunningServer
from phantomlink.rest.response import Response, error_response, failure_response
from phantomlink.rest.table import RouteTable

Answering = Callable[[RequestHead, ReadBody], Awaitable[Response]]
"""Answers a request: a `Dispatch`, or what stands before one."""


class Dispatch:
    """Answers requests.

    Args:
        server: what they are answered from.
        table: every route.
    """

    def __init__(self, server: RunningServer, table: RouteTable) -> None:
        self._server = server
        self._table = table

    async def __call__(self, head: RequestHead, read_body: ReadBody) -> Response:
        """The answer to one request; nothing else is raised but cancellation and servers' errors.

        The body of the answer is that of a GET also for a HEAD. To leave it away then, and to add
        the date, is for the server that sends it.

        Args:
            head: of the request.
            read_body: reads its body; not called where the body does not matter.

        Raises:
            SessionElsewhereError: another process has to answer it.
        """
        policy = self._server.get_access_policy()
        try:
            policy.check(head.identity(trust_proxy=policy.trusts_proxy))
            response = await self._answer(head, read_body, policy.origins)
        except SessionElsewhereError:
            raise
        except Exception as error:  # noqa: BLE001 - a boundary: it costs this request alone
            response = failure_response(head.method, head.path, error)
        return with_cors(response, head, policy.origins)

    async def _answer(
        self, head: RequestHead, read_body: ReadBody, origins: OriginRule
    ) -> Response:
        found = await self._table.find(head.path)
        if head.method == "OPTIONS" and found.routes:
            return _options(head, found.methods, origins)
        route, segments = found.find(head.method)
        body = await read_body() if route.is_strict else b""
        return await route.respond(Request(head, self._server), segments, body)


def _options(head: RequestHead, methods: tuple[str, ...], origins: OriginRule) -> Response:
    """The methods of a path: to a browser that asks before a page's request, or to anybody."""
    if head.is_preflight:
        allowed = preflight_headers(methods) if allowing_headers(head, origins) else ()
        return Response(b"", 204, content_type="", headers=allowed)
    return Response(b"", headers=(("Allow", ", ".join(methods)),))


def refusal(error: PhantomLinkError, head: RequestHead, origins: OriginRule) -> Response:
    """The answer to a request, or an upgrade, that is refused before it is dispatched."""
    return with_cors(error_response(error), head, origins)


def with_cors(response: Response, head: RequestHead, origins: OriginRule) -> Response:
    """The answer as a page of an allowed origin may read it."""
    allowing = allowing_headers(head, origins)
    return response.with_headers(allowing) if allowing else response
