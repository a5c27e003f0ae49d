"""Writes docs/reference/routes.md, the table of all routes: `python -m tools.routes_page`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from phantomlink.rest.route import Route
from phantomlink.rest.table import ROUTES

PAGE = Path(__file__).parents[1] / "docs/reference/routes.md"
HEAD = """\
# Routes

Every route of the server. `/docs` of a running server lets you try them, `/openapi.json` describes
every member. A name in a query or a member of a body that a route does not know is 422; query names
that begin with `_` are left alone, and pages ignore queries. Every `GET` answers `HEAD` too, every
path `OPTIONS`.

<!-- Written by tools/routes_page.py from the table of routes. -->

| route | answer | what it does | takes | problems |
|---|---|---|---|---|
"""


def page_of(routes: Iterable[Route]) -> str:
    return HEAD + "".join(_row(route) for route in routes)


def _row(route: Route) -> str:
    answer = route.media_types[0] if route.answer is None else f"`{route.answer.__name__}`"
    if route.status == 101:
        answer = "WebSocket"
    problems = ", ".join(map(str, route.statuses))
    return (
        f"| `{route.method} {route.path}` | {answer} | {route.summary} | {_takes(route)} "
        f"| {problems} |\n"
    )


def _takes(route: Route) -> str:
    query = () if route.query_record is None else route.query_record.__struct_fields__
    body = () if route.body_record is None else route.body_record.__struct_fields__
    names = [f"`{name}`" for name in dict.fromkeys((*body, *query))]
    where = {
        (True, True): "body or query: ",
        (True, False): "body: ",
        (False, True): "query: ",
        (False, False): "",
    }[bool(body), bool(query)]
    return where + ", ".join(names)


if __name__ == "__main__":
    PAGE.write_text(page_of(ROUTES), encoding="utf-8")
