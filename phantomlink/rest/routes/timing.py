"""`/api/sessions/{code}/timing`: how punctual a session has been."""

from __future__ import annotations

from typing import Annotated, Literal

from phantomlink.rest.records import Record, about
from phantomlink.rest.request import Request
from phantomlink.rest.response import JSON_TYPE, Response, json_response
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import TAG, OfSession
from phantomlink.rest.timing_report import Timing, timing_of
from phantomlink.rest.timing_text import timing_text


class TimingQuery(Record, frozen=True):
    """In which form."""

    format: Annotated[Literal["json", "text"], about("text for a person to read")] = "json"


@route(
    "GET",
    "/api/sessions/{code}/timing",
    TAG,
    answer=Timing,
    media_types=(JSON_TYPE, "text/plain"),
)
async def timing(request: Request, path: OfSession, query: TimingQuery) -> Response:
    """How punctual a session has been, and with what."""
    report = timing_of(request.service, request.session(path.code))
    if query.format == "text":
        text = timing_text(report).encode()
        return Response(text, content_type="text/plain; charset=utf-8")
    return json_response(report)


ROUTES = (timing,)
