"""Pages for people, and their files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from phantomlink import web
from phantomlink.rest.records import Record, about
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import OfSession
from phantomlink.scheduling.deferred import Deferred
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.web.static_files import content_security_policy, page, static_file, static_files

TAG = "pages"
HTML = ("text/html",)


def _load_files() -> tuple[Callable[..., Awaitable[Response]], Callable[..., Response]]:
    """What answers files, with those of the dashboard read and compressed."""
    from phantomlink.rest.files import file_response, static_response  # noqa: PLC0415

    static_files()
    return file_response, static_response


_FILES = Deferred(_load_files)


class OfFile(Record, frozen=True):
    """The file in a path."""

    name: Annotated[str, about("of the file")]


class OfFolder(Record, frozen=True):
    """The file in a path, in its folder."""

    folder: Annotated[str, about("of the file")]
    name: Annotated[str, about("of the file")]


@route("GET", "/", TAG, media_types=HTML)
async def sessions_page(request: Request) -> Response:
    """The dashboard: all sessions.

    Its pages need no token and hold no data: what they show they ask for.
    """
    return await _dashboard(request, "./")


@route("GET", "/s/{code}", TAG, media_types=HTML)
async def live_page(request: Request, path: OfSession) -> Response:
    """The dashboard: one session, live."""
    return await _dashboard(request, "../")


@route("GET", "/timing", TAG, media_types=HTML)
async def timing_page(request: Request) -> Response:
    """The dashboard: how punctual the server is."""
    return await _dashboard(request, "./")


@route("GET", "/datasets", TAG, media_types=HTML)
async def datasets_page(request: Request) -> Response:
    """The dashboard: what can be played."""
    return await _dashboard(request, "./")


@route("GET", "/decoders", TAG, media_types=HTML)
async def decoders_page(request: Request) -> Response:
    """The dashboard: decoders side by side."""
    return await _dashboard(request, "./")


@route("GET", "/static/{name}", TAG, media_types=("*/*",))
async def static(request: Request, path: OfFile) -> Response:
    """A file of the dashboard; `phantomlink-client.js` is for any page."""
    return await _static(request, path.name)


@route("GET", "/static/{folder}/{name}", TAG, media_types=("*/*",))
async def static_in_folder(request: Request, path: OfFolder) -> Response:
    """A file of the dashboard."""
    return await _static(request, f"{path.folder}/{path.name}")


@route("GET", "/docs", TAG, media_types=HTML)
async def docs(request: Request) -> Response:
    """The OpenAPI document, to try out."""
    return _page(web.docs_page())


@route("GET", "/docs/{name}", TAG, media_types=("*/*",))
async def docs_file(request: Request, path: OfFile) -> Response:
    """A file of that page."""
    file_response, _ = await _FILES.get()
    file, media_type = await run_in_thread(web.docs_asset, path.name)
    return await file_response(request.head, file, media_type, max_age_seconds=3600)


async def _static(request: Request, path: str) -> Response:
    _, static_response = await _FILES.get()
    return static_response(request.head, static_file(path))


def _page(text: str) -> Response:
    headers = (("Content-Security-Policy", web.CONTENT_SECURITY_POLICY),)
    return Response(text.encode(), content_type="text/html; charset=utf-8", headers=headers)


async def _dashboard(request: Request, root: str) -> Response:
    # First: the page names the files that it is made of.
    _, static_response = await _FILES.get()
    host = request.base_url.partition("://")[2]
    policy = content_security_policy(host)
    return static_response(request.head, page(root), (("Content-Security-Policy", policy),))


ROUTES = (
    sessions_page,
    live_page,
    timing_page,
    datasets_page,
    decoders_page,
    static,
    static_in_folder,
    docs,
    docs_file,
)
