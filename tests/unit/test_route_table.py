"""Which route a path is of, and how a route is declared."""

import pytest

from phantomlink.errors import MethodNotAllowedError, NotFoundError
from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.records import Record
from phantomlink.rest.request import Request
from phantomlink.rest.route import route
from phantomlink.rest.table import RouteTable

TABLE = RouteTable(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "wanted", "segments"),
    [
        ("GET", "/", "/", {}),
        ("GET", "/health", "/health", {}),
        ("HEAD", "/health", "/health", {}),
        ("GET", "/%68ealth", "/health", {}),
        ("GET", "/api/stats", "/api/stats", {}),
        ("GET", "/api/stats/a", "/api/stats/{code}", {"code": "a"}),
        ("GET", "/api/stats/timing", "/api/stats/{code}", {"code": "timing"}),
        ("GET", "/api/sessions/a/timing", "/api/sessions/{code}/timing", {"code": "a"}),
        ("POST", "/api/sessions/create", "/api/sessions/create", {}),
        ("GET", "/api/sessions/create", "/api/sessions/{code}", {"code": "create"}),
        ("DELETE", "/api/sessions/cleanup", "/api/sessions/{code}", {"code": "cleanup"}),
        ("GET", "/api/stats/a%2Fb", "/api/stats/{code}", {"code": "a/b"}),
        ("GET", "/api/stats/%ff", "/api/stats/{code}", {"code": "\ufffd"}),
        ("GET", "/api/trials/by-target/0", "/api/trials/by-target/{target_id}", {"target_id": "0"}),
        ("GET", "/stream/binary/a", "/stream/binary/{code}", {"code": "a"}),
        ("GET", "/stream/binary", "/stream/{code}", {"code": "binary"}),
    ],
)
def test_a_path_is_of_one_route(method, path, wanted, segments):
    route, found = TABLE.match(path).find(method)
    assert (route.path, found) == (wanted, segments)


@pytest.mark.parametrize(
    "path",
    [
        "", "*", "health", "/health/", "//health", "/Health", "/healthz", "/api/stats/",
        "/api/stats//a", "/api/stats/a/", "/api/stats/a/b", "/api/control//position",
        "/api/sessions//timing", "http://localhost/health", "/health%20", "/stream/a/b",
    ],
)  # fmt: skip
def test_other_paths_are_of_none(path):
    found = TABLE.match(path)
    assert found.methods == ()
    with pytest.raises(NotFoundError, match="nothing at"):
        found.find("GET")


def test_a_path_tells_its_methods():
    methods = TABLE.match("/api/sessions/a/perturbation").methods
    assert methods == ("DELETE", "GET", "HEAD", "OPTIONS", "PUT")
    assert TABLE.match("/api/sessions/create").methods == (
        "DELETE", "GET", "HEAD", "OPTIONS", "POST",
    )  # fmt: skip
    with pytest.raises(
        MethodNotAllowedError, match="got PATCH, takes GET, HEAD, OPTIONS"
    ) as caught:
        TABLE.match("/health").find("PATCH")
    assert caught.value.headers == (("Allow", "GET, HEAD, OPTIONS"),)


class OfDecoder(Record, frozen=True):
    name: str


async def taking(request: Request, path: OfDecoder, query: OfDecoder) -> OfDecoder:
    """Show a decoder.

    With all
    that it has.
    """
    return query


def test_what_a_handler_says_of_itself_is_the_routes():
    declared = route("GET", "/api/x/{name}", "server", errors=(409,))(taking)
    assert (declared.summary, declared.description) == ("Show a decoder", "With all that it has.")
    assert declared.path_record is declared.query_record is declared.answer is OfDecoder
    assert declared.statuses == (404, 409, 422, 503)
    assert declared.is_strict
    costly = route("GET", "/api/x/{name}", "server", costly="things")(taking)
    assert costly.statuses == (403, 404, 422, 503)
    assert not route("GET", "/docs/{name}", "pages")(taking).is_strict


def test_a_declaration_that_cannot_be_is_refused():
    with pytest.raises(TypeError, match="path is not a record of"):
        route("GET", "/api/x/{code}", "server")(taking)

    async def more(request: Request, name: str) -> OfDecoder: ...

    with pytest.raises(TypeError, match="takes no name"):
        route("GET", "/api/x", "server")(more)

    async def less() -> OfDecoder: ...

    with pytest.raises(TypeError, match="takes request: Request first"):
        route("GET", "/api/x", "server")(less)
    one = route("GET", "/api/x/{name}", "server")(taking)
    with pytest.raises(ValueError, match="declared twice"):
        RouteTable([one, one])
