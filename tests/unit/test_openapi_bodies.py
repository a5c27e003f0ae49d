"""What the document says of bodies, and what is made of bodies, are the same."""

from __future__ import annotations

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document
from phantomlink.rest.records import Record
from phantomlink.rest.request import Request
from phantomlink.rest.route import route


class Inner(Record, frozen=True):
    """A part of a body."""

    size: int = 0


class Outer(Record, frozen=True):
    """A body."""

    inner: Inner | None = None
    listed: list[Inner] | None = None


@route("POST", "/api/things", "recording")
async def things(request: Request, body: Outer) -> Inner:
    """Take things."""
    return body.inner or Inner()


def test_records_in_a_body_take_no_other_members_either():
    schemas = openapi_document((things,))["components"]["schemas"]
    assert schemas["Outer"]["additionalProperties"] is False
    assert schemas["Inner"]["additionalProperties"] is False


def test_no_body_of_the_server_has_an_open_part():
    schemas = openapi_document(ROUTES)["components"]["schemas"]
    for name in ("CreateSession", "Blind"):
        assert schemas[name]["additionalProperties"] is False
