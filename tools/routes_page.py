"""Writes the table of all routes into docs/reference/rest.md: `python -m tools.routes_page`.

Below the table the page tells every member; that part is made when the pages are built.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.route import Route

PAGE = Path(__file__).parents[1] / "docs/reference/rest.md"
BEGIN = "<!-- table of routes: written by tools/routes_page.py -->\n"
END = "<!-- end of the table -->\n"
HEAD = """
| route | answer | what it does | takes | problems |
|---|---|---|---|---|
"""


def table_of(routes: Iterable[Route]) -> str:
    return HEAD + "".join(_row(route) for route in routes) + "\n"


def page_with(page: str, routes: Iterable[Route]) -> str:
    """The page with the table of these routes."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table_of(routes) + END + rest.partition(END)[2]


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
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), ROUTES), encoding="utf-8")
