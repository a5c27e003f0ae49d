"""Finds the route of a request: first among those that every client asks for, then among all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from phantomlink.errors import MethodNotAllowedError, NotFoundError
from phantomlink.rest.route import Route
from phantomlink.rest.routes import control, pages, recording, server, sessions
from phantomlink.scheduling.deferred import Deferred

FIRST: tuple[Route, ...] = (
    *sessions.ROUTES,
    *control.ROUTES,
    *recording.ROUTES,
    *server.ROUTES,
    # A page whose files come at once is there before what it asks for.
    *pages.ROUTES,
)
"""Routes that a server has loaded when it starts. No path of theirs has a method elsewhere."""


def load_all() -> tuple[Route, ...]:
    """Every route, and what they need: 60 ms the first time."""
    from phantomlink.rest.all_routes import ROUTES  # noqa: PLC0415

    return ROUTES


@dataclass
class _Node:
    """What follows one segment of a path."""

    children: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """The routes of a path.

    Attributes:
        path: as it was sent.
        routes: by method, each with the path's parameters, decoded, in order.
    """

    path: str
    routes: dict[str, tuple[Route, tuple[str, ...]]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that is answered; nothing for a path that there is not."""
        if not self.routes:
            return ()
        head = ("HEAD",) if "GET" in self.routes else ()
        return tuple(sorted({*self.routes, *head, "OPTIONS"}))

    def find(self, method: str) -> tuple[Route, dict[str, str]]:
        """The route of a method, and the path's parameters by name.

        Raises:
            NotFoundError: there is no such path.
            MethodNotAllowedError: the path has other methods.
        """
        if not self.routes:
            raise NotFoundError(f"nothing at {self.path!r}; /docs lists what there is")
        found = self.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            raise MethodNotAllowedError(method, self.path, self.methods)
        route, segments = found
        names = (part[1:-1] for part in route.path.split("/") if part.startswith("{"))
        return route, dict(zip(names, segments, strict=True))


class RouteTable:
    """Finds the routes of a path.

    Args:
        routes: those that are looked through at once.
        load_all: imports all that there are, `routes` among them; None where these are all. Called
            in a thread, when a path is asked for that is not among `routes`.
    """

    def __init__(
        self,
        routes: Iterable[Route] = FIRST,
        load_all: Callable[[], Iterable[Route]] | None = None,
    ) -> None:
        self._root = _tree_of(routes)
        self._whole = None if load_all is None else Deferred(lambda: _tree_of(load_all()))

    async def find(self, path: str) -> Match:
        """As `match`, and what is not found is looked for among all.

        Raises:
            ThreadLimitError: no thread can be started to load them.
        """
        found = self.match(path)
        if found.routes or self._whole is None:
            return found
        self._root = await self._whole.get()
        return self.match(path)

    def match(self, path: str) -> Match:
        """The routes of a path, still percent-encoded.

        A fixed segment comes before a parameter, method by method: POST /api/sessions/create makes
        a session, and GET of it shows the one whose code is "create".
        """
        first, *parts = path.split("/")
        routes: dict[str, tuple[Route, tuple[str, ...]]] = {}
        # Those that fit so far, fixed segments first.
        found: list[tuple[_Node, tuple[str, ...]]] = [] if first else [(self._root, ())]
        for part in parts:
            text = unquote(part, errors="replace") if "%" in part else part
            fitting = []
            for node, segments in found:
                if (child := node.children.get(text)) is not None:
                    fitting.append((child, segments))
                if node.parameter is not None and text:
                    fitting.append((node.parameter, (*segments, text)))
            found = fitting
        for node, segments in found:
            for method, route in node.routes.items():
                routes.setdefault(method, (route, segments))
        return Match(path, routes)


def _tree_of(routes: Iterable[Route]) -> _Node:
    root = _Node()
    for route in routes:
        node = root
        for part in route.path.split("/")[1:]:
            if part.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(part, _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.path}: declared twice")
        node.routes[route.method] = route
    return root
