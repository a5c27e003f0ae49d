from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from playwright.sync_api import Browser, Page

from phantomlink.recordings.synthetic import synthesize
from tests.browser.pages import Visit
from tests.chromium import chromium
from tests.servers import LiveServer, live_server

STATIC = Path(__file__).parents[2] / "phantomlink" / "web" / "static"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def reaches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 142 units and 20 trials (a minute); always the same data."""
    path = tmp_path_factory.mktemp("reaches") / "reaches.nwb"
    synthesize(path, trials=20)
    return path


@pytest.fixture(scope="module")
def server(reaches: Path) -> Iterator[LiveServer]:
    with live_server(reaches) as server:
        yield server


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Open pages; at the end no page has done what it must not."""
    with ExitStack() as stack:

        def open_page(server: LiveServer, path: str, **options: Any) -> Visit:
            visit = stack.enter_context(Visit.opened(browser, server.http, path, **options))
            return visit

        yield open_page


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map: ClassVar = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture(scope="module")
def modules(browser: Browser) -> Iterator[Page]:
    """A page that can import the dashboard's modules, without a server of ours."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(STATIC)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    page = browser.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/vendor/LICENSES.txt")
        yield page
    finally:
        page.close()
        server.shutdown()
        server.server_close()
        thread.join()
