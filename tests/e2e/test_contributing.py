"""docs/internals/contributing.md, followed: a route is one module and one line."""

import importlib.util
import json
import re
import sys
import textwrap
from pathlib import Path

import pytest

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.dispatch import Dispatch
from phantomlink.rest.openapi import openapi_document
from phantomlink.rest.request import RequestHead
from phantomlink.rest.table import RouteTable
from tools.routes_page import table_of

PAGE = Path(__file__).parents[2] / "docs/internals/contributing.md"
HOST = ((b"host", b"localhost"),)


@pytest.fixture
def units(tmp_path):
    """The module that the page shows."""
    text = PAGE.read_text(encoding="utf-8").partition("<!-- walk: a route -->")[2]
    block = re.search(r"^ *```python\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    file = tmp_path / "units.py"
    file.write_text(textwrap.dedent(block[1]))
    spec = importlib.util.spec_from_file_location("walked_units", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules["walked_units"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["walked_units"]


async def no_body():
    return b""


async def test_the_route_of_the_page_works_everywhere(app, units):
    routes = (*ROUTES, *units.ROUTES)
    dispatch = Dispatch(app, RouteTable(routes))

    async def ask(path, method="GET"):
        path, _, query = path.partition("?")
        response = await dispatch(RequestHead(method, path, query, HOST), no_body)
        return response, json.loads(response.body or b"null")

    unit_id = app.get_service().recording.unit_ids[2]
    response, unit = await ask(f"/api/units/{unit_id}?bins=7")
    assert (response.status, unit) == (200, {"unit_id": unit_id, "column": 2, "bins": 7})
    for path, status, says in (
        ("/api/units/99999", 404, "takes one of /api/metadata"),
        ("/api/units/x", 422, "unit_id: got 'x', takes a whole number"),
        (f"/api/units/{unit_id}?bins=0", 422, "bins: got 0, takes a whole number from 1 to 500"),
        (f"/api/units/{unit_id}?bin=7", 422, "bin: not known; bins?"),
    ):
        response, problem = await ask(path)
        assert (response.status, says in problem["detail"]) == (status, True), problem
    response, _ = await ask(f"/api/units/{unit_id}", "OPTIONS")
    assert response.headers == (("Allow", "GET, HEAD, OPTIONS"),)
    assert (await ask(f"/api/units/{unit_id}", "DELETE"))[0].status == 405

    document = openapi_document(routes)
    operation = document["paths"]["/api/units/{unit_id}"]["get"]
    assert operation["summary"] == "One unit"
    assert {each["name"] for each in operation["parameters"]} == {"unit_id", "bins"}
    assert document["components"]["schemas"]["Unit"]["required"] == ["unit_id", "column", "bins"]
    assert "`GET /api/units/{unit_id}`" in table_of(routes)
