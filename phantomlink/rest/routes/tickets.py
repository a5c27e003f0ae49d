"""`/api/tickets`: a download for a link that can show no token."""

from __future__ import annotations

import re
from typing import Annotated

from phantomlink.errors import InvalidParameterError
from phantomlink.rest.records import Record, about
from phantomlink.rest.request import Request
from phantomlink.rest.route import route

_PATTERN = r"^/api/[!-\"$-~]{1,1000}$"
_SHOWN = 80
_EXAMPLE = "/api/captures/20260101T120000Z-swift-neural-42-abcd/file?format=nwb"


class AskForTicket(Record, frozen=True):
    """What is to be downloaded."""

    path: Annotated[str, about("of a GET below /api/, with its query", _EXAMPLE, pattern=_PATTERN)]


class Ticket(Record, frozen=True):
    """A download."""

    url: Annotated[
        str, about("the path with a ticket for one GET within 60 s", f"{_EXAMPLE}&_ticket=…")
    ]


@route("POST", "/api/tickets", "server")
async def issue(request: Request, body: AskForTicket) -> Ticket:
    """Have a link to a download that needs no header, of a server with a token.

    Where the server has no token the path needs no ticket, and is answered as it came.
    """
    if re.match(_PATTERN, body.path) is None or body.path.endswith("\n"):
        raise InvalidParameterError(
            f"path: got {body.path[:_SHOWN]!r}, takes a path below /api/, percent-encoded"
        )
    tickets = request.server.get_access_policy().tickets
    return Ticket(body.path if tickets is None else tickets.issue(body.path))


ROUTES = (issue,)
