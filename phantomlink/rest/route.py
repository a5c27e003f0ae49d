"""How a route is declared: once, beside the function that answers it.

A handler's parameters say what the route takes. `request` comes first; `path`, `query`, `body` and
`given` are records, by their annotations, and `given` may come in the body, in the query, or a part
of it in each. What it returns is the record of its answer; a handler that makes a `Response` itself
names the record in the decorator. Its docstring is what the OpenAPI document says.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_type_hints

from phantomlink.rest.records import Record
from phantomlink.rest.request import Request
from phantomlink.rest.response import JSON_TYPE, Response, json_response
from phantomlink.rest.validation import RecordReader, merged, parse_body

Handler = Callable[..., Awaitable[Record | Response]]

_STRICT = ("/api/", "/stream/", "/view/")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Route:
    """One method of one path.

    Attributes:
        method: in upper case.
        path: with its parameters in braces.
        handler: that answers.
        answer: record of a successful answer; None for a text.
        tag: what the document lists it under.
        media_types: of a successful answer; the first is the one without being asked.
        status: of a successful answer.
        pending: record of a 202, where what is asked for may still have to be made.
        errors: statuses of problems, beside those that follow from what it takes.
        costly: what it makes, in the plural, where that fills disks or keeps processors busy: not
            for anybody who reaches the server from another machine; empty for what costs little.
        examples, body_examples: of the answer and of the body, by name.
        path_record, query_record, body_record: what it takes; None for nothing.
    """

    method: str
    path: str
    handler: Handler
    answer: type[Record] | None
    tag: str
    media_types: tuple[str, ...] = (JSON_TYPE,)
    status: int = 200
    pending: type[Record] | None = None
    errors: tuple[int, ...] = ()
    costly: str = ""
    examples: Mapping[str, Any] = field(default_factory=dict)
    body_examples: Mapping[str, Any] = field(default_factory=dict)
    path_record: type[Record] | None = None
    query_record: type[Record] | None = None
    body_record: type[Record] | None = None

    @property
    def is_strict(self) -> bool:
        """Whether names that it does not know are refused; pages ignore them."""
        return self.path.startswith(_STRICT)

    @cached_property
    def summary(self) -> str:
        """One line."""
        return inspect.cleandoc(self.handler.__doc__ or "").partition("\n")[0].removesuffix(".")

    @cached_property
    def description(self) -> str:
        """What the summary does not say."""
        text = inspect.cleandoc(self.handler.__doc__ or "").partition("\n")[2]
        return " ".join(text.split())

    @cached_property
    def statuses(self) -> tuple[int, ...]:
        """Every status of a problem that it may answer, but for those of the access policy."""
        found = set(self.errors)
        if self.path_record is not None:
            found.add(404)
        if self.costly:
            found.add(403)
        if self.is_strict:
            # Before the start, and from the first moment of going away, nothing is answered.
            found |= {422, 503}
            if self.method in _WITH_BODY:
                found |= {413, 415}
        return tuple(sorted(found))

    @cached_property
    def _readers(self) -> tuple[RecordReader, RecordReader, RecordReader]:
        return (
            RecordReader(self.path_record),
            RecordReader(self.query_record),
            RecordReader(self.body_record),
        )

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.handler).parameters)

    async def respond(self, request: Request, segments: Mapping[str, str], body: bytes) -> Response:
        """Check what came and answer it.

        Args:
            request: the request.
            segments: of the path, decoded, by parameter.
            body: as it was sent.

        Raises:
            PhantomLinkError: what came cannot be answered.
        """
        if self.costly:
            request.server.get_access_policy().check_costly(self.costly)
        path, query, members = self._readers
        values: dict[str, Any] = {}
        if self.path_record is not None:
            texts = {name: [text] for name, text in segments.items()}
            values["path"] = path.make(path.values_of_texts(texts))
        if self.is_strict:
            mimetype = (request.head.get("content-type") or "").partition(";")[0].strip().lower()
            in_body = members.values_of_json(parse_body(body, mimetype)) if body else {}
            in_query = query.values_of_query(request.head.query)
            if "given" in self._names:
                values["given"] = query.make(merged(in_body, in_query))
            if "query" in self._names:
                values["query"] = query.make(in_query)
            if "body" in self._names:
                values["body"] = members.make(in_body)
        answer = await self.handler(request, **values)
        return answer if isinstance(answer, Response) else json_response(answer)


def route(method: str, path: str, tag: str, **declared: Any) -> Callable[[Handler], Route]:
    """Declare the route that a handler answers.

    Args:
        method: in upper case.
        path: with its parameters in braces.
        tag: what the document lists it under.
        **declared: `answer`, `media_types`, `status`, `pending`, `errors`, `costly`, `examples`
            or `body_examples`, see `Route`.

    Raises:
        TypeError: the handler's parameters are not what a route takes.
    """

    def declare(handler: Handler) -> Route:
        hints = get_type_hints(handler)
        returned = hints.pop("return")
        if hints.pop("request", None) is not Request:
            raise TypeError(f"{handler.__name__}: takes request: Request first")
        records = {name: hints.pop(name, None) for name in ("path", "query", "body", "given")}
        if hints:
            raise TypeError(f"{handler.__name__}: takes no {', '.join(hints)}")
        in_path = set(re.findall(r"{(\w+)}", path))
        named = records["path"]
        if in_path != set(() if named is None else named.__struct_fields__):
            raise TypeError(f"{handler.__name__}: path is not a record of {in_path}")
        if returned is not Response:
            declared.setdefault("answer", returned)
        declared.setdefault("answer", None)
        given = records["given"]
        return Route(
            method,
            path,
            handler,
            tag=tag,
            path_record=named,
            query_record=given or records["query"],
            body_record=given or records["body"],
            **declared,
        )

    return declare
