"""`/openapi.json`: the document of all routes, itself included."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from phantomlink.rest.openapi import openapi_document
from phantomlink.rest.records import Record, encode_json
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import Route, route


class Document(Record, frozen=True):
    """An OpenAPI 3.1 document."""


def document_route(get_routes: Callable[[], Iterable[Route]]) -> Route:
    """The route that tells of all.

    Args:
        get_routes: gives all routes, once there are all.
    """

    @cache
    def encoded() -> bytes:
        return encode_json(openapi_document(get_routes()))

    @route("GET", "/openapi.json", "pages", answer=Document)
    async def document(request: Request) -> Response:
        """This document."""
        return Response(encoded())

    return document
