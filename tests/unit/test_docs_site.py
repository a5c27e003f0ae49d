"""The site of docs/ is built without a warning or a network, and no link of it is broken."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MAX_LINES = 400


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in {"img", "script", "iframe"} and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") in {"stylesheet", "preload", "icon"}:
            self.loaded.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    sphinx = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    done = subprocess.run(
        [*sphinx, "-d", str(out / "doctrees"), str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert len(found) > 30
    return found


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    loaded = {(path.name, url) for path, page in pages.items() for url in page.loaded}
    assert len(loaded) > 10
    assert {each for each in loaded if urlsplit(each[1]).netloc} == set()


def broken(path: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for link in [*pages[path].links, *pages[path].loaded]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        anchors = pages[target].anchors if target in pages else set()
        if not target.exists() or (parts.fragment and parts.fragment not in anchors):
            yield link


def test_no_link_is_broken(pages: dict[Path, Page]) -> None:
    assert {link for path in pages for link in broken(path, pages) if link != "#"} == set()


def test_every_route_is_on_the_page_of_routes(site: Path) -> None:
    text = (site / "reference/rest.html").read_text(encoding="utf-8")
    shown = re.findall(
        r"<span class=\"pre\">([A-Z]+)</span> <span class=\"pre\">(/\S*)</span>", text
    )
    routes = {
        (method.upper(), path)
        for path, methods in openapi_document(ROUTES)["paths"].items()
        for method in methods
    }
    assert len(routes) > 20
    assert routes <= set(shown)


def test_every_page_can_be_reached_from_the_first(pages: dict[Path, Page], site: Path) -> None:
    reached, waiting = set(), [site / "index.html"]
    while waiting:
        path = waiting.pop()
        if path in reached or path not in pages:
            continue
        reached.add(path)
        waiting += [(path.parent / urlsplit(link).path).resolve() for link in pages[path].links]
    unreached = {path.name for path in pages if path not in reached}
    assert unreached <= {"genindex.html", "search.html", "py-modindex.html"}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_a_page_is_no_longer_than_a_reader_s_patience(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
