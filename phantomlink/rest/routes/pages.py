"""Pages for people, and their files."""

from __future__ import annotations

from typing import Annotated

import trio

from phantomlink import web
from phantomlink.rest.files import file_response
from phantomlink.rest.records import Record, about
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import route

TAG = "pages"
HTML = ("text/html",)


class OfFile(Record, frozen=True):
    """The file in a path."""

    name: Annotated[str, about("of the file")]


@route("GET", "/", TAG, media_types=HTML, errors=(503,))
async def landing_page(request: Request) -> Response:
    """Landing page."""
    return _page(web.landing_page(request.service, request.base_url))


@route("GET", "/docs", TAG, media_types=HTML)
async def docs(request: Request) -> Response:
    """The OpenAPI document, to try out."""
    return _page(web.docs_page())


@route("GET", "/docs/{name}", TAG, media_types=("*/*",))
async def docs_file(request: Request, path: OfFile) -> Response:
    """A file of that page."""
    file, media_type = await trio.to_thread.run_sync(web.docs_asset, path.name)
    return await file_response(request.head, file, media_type, max_age_seconds=3600)


def _page(text: str) -> Response:
    headers = (("Content-Security-Policy", web.CONTENT_SECURITY_POLICY),)
    return Response(text.encode(), content_type="text/html; charset=utf-8", headers=headers)


ROUTES = (landing_page, docs, docs_file)
