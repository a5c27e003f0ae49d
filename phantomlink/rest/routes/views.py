"""`/view`: WebSockets that watch, and what is answered to those who ask for them without one."""

from __future__ import annotations

from typing import Annotated

from phantomlink.errors import UpgradeRequiredError
from phantomlink.rest.playheads import WantedTrials
from phantomlink.rest.records import about
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import OfSession

TAG = "views"


class ViewQuery(WantedTrials, frozen=True):
    """What of a session is watched."""

    column_ms: Annotated[
        Annotated[float, about(minimum=0, maximum=10_000)] | None,
        about("recording time of a column, in whole bins; 25 or a bin where it is not given"),
    ] = None
    units: Annotated[str | None, about("first and last row of the units", "0-63")] = None


@route("GET", "/view/{code}", TAG, status=101, errors=(426, 429, 503))
async def session_view(request: Request, path: OfSession, query: ViewQuery) -> Response:
    """Watch a session without listening to it.

    A WebSocket upgrade; MessagePack messages of type hello, columns, state and stats. It makes,
    starts and keeps no session, and what it is too slow for is merged. Without an upgrade the
    answer is what the upgrade would be refused with, which a browser does not tell pages, or 426.
    """
    raise _upgrade_required(request)


@route("GET", "/view", TAG, status=101, errors=(426, 429, 503))
async def list_view(request: Request) -> Response:
    """Watch the list of sessions.

    A WebSocket upgrade; MessagePack: hello with every session that is not private, then once a
    second those that were added, changed and removed.
    """
    raise _upgrade_required(request)


def _upgrade_required(request: Request) -> UpgradeRequiredError:
    policy = request.server.get_access_policy()
    requester = request.head.identity(trust_proxy=policy.trusts_proxy)
    policy.connection_limits.check(requester.address, None)
    request.server.get_views().enter(request.head.path, request.head.query)
    return UpgradeRequiredError(
        f"{request.head.path} is a WebSocket: connect with ws://, not http://"
    )


ROUTES = (session_view, list_view)
