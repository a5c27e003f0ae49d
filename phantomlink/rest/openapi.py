"""The OpenAPI 3.1 document of the REST interface, with what it can say of the WebSockets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import msgspec

from phantomlink import __version__
from phantomlink.access.token import OPEN_PATHS, SUBPROTOCOL_PREFIX
from phantomlink.perturbation.schema import perturbation_schemas
from phantomlink.rest.records import SCHEMA_REFERENCE, Problem, Record
from phantomlink.rest.response import JSON_TYPE, PROBLEM_TYPE
from phantomlink.rest.route import Route
from phantomlink.rest.routes.streams import MESSAGES

_DESCRIPTION = """\
Plays a neural recording back as if an implant were live.

**Streams** are WebSockets: `/stream/{code}` and `/stream/binary/{code}`, one message a packet, \
MessagePack or JSON text of the same structure. An unknown code creates the session. The first \
message is a `MetadataMessage`, every other one a `DataMessage` (see Schemas). The form is that \
of the sub-protocol `phantomlink.v1.msgpack`, `phantomlink.v1.json` or `phantomlink.v2.msgpack` \
(MessagePack whose `spikes` are bytes: `counts, dtype, bin_size_ms`), else of `?format=msgpack`, \
`json` or `compact`, else JSON text for a browser and MessagePack for everybody else; \
`/stream/binary` always sends MessagePack. `?trial_id=`, `?target_id=` and `?reach_id=` filter.

A session plays only while somebody listens. It has one unfiltered playhead and one for each \
filter in use. Close codes: 1000 the recording ended or the session was stopped; 1001 the server \
is going away; 1008 not allowed; 1009 message too big; 1011 our bug; 1013 try again later; 4408 \
too slow; 4410 session expired or deleted.

**Errors** are problem details (RFC 9457). A member of a body, or a name of a query, that a route \
does not know is an error; query names that begin with `_` are left alone. Every `GET` answers \
`HEAD` too, every path `OPTIONS`. Pages of localhost may call all of this from a browser (CORS), \
never with cookies."""

_TAGS = {
    "sessions": "Playbacks that do not touch each other.",
    "control": "Pause, resume, stop, seek, speed.",
    "perturbation": "Noise, drift, failing electrodes, losses.",
    "decoders": "Predictions, scores, fitted decoders.",
    "recording": "What is played.",
    "server": "How it is doing.",
    "streams": "WebSockets; a browser cannot try them here.",
    "pages": "For people.",
}
_ERRORS = {
    401: "the server has a token, and the request has not",
    403: "a page of another origin asks, or other machines reach a server without a token",
    404: "there is nothing of this name",
    409: "the session exists with other options",
    413: "the body is too large",
    415: "the body is not JSON",
    422: "a parameter is not known, has the wrong form or is out of range",
    426: "not a WebSocket upgrade",
    429: "too many requests, or WebSocket clients, from one address",
    503: "not available now",
    507: "the disk has no room for it",
}
_RETRY_AFTER = {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}}
_CHALLENGE = {
    "WWW-Authenticate": {"description": "takes a bearer token", "schema": {"type": "string"}},
}
_HEADERS = {401: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}
_TOKEN = "token"
# What goes without saying in a schema.
_UNSAID: tuple[tuple[str, Any], ...] = (("default", None), ("required", []), ("properties", {}))


def openapi_document(routes: Iterable[Route]) -> dict[str, Any]:
    """The document, ready for JSON."""
    routes = tuple(routes)
    schemas = _Schemas(routes)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "PhantomLink", "version": __version__, "description": _DESCRIPTION},
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        # With a token where the server has one, and without where it has none.
        "security": [{_TOKEN: []}, {}],
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {_TOKEN: _security_scheme()},
        },
    }


class _Schemas:
    """The schemas of every record that a route takes or answers."""

    def __init__(self, routes: Iterable[Route]) -> None:
        records: dict[type[Record], None] = dict.fromkeys((Problem, *MESSAGES))
        self._parameters: dict[type[Record], dict[str, Any]] = {}
        for route in routes:
            named = route.answer, route.body_record, route.pending
            records |= dict.fromkeys(record for record in named if record is not None)
        _, components = msgspec.json.schema_components(records, ref_template=SCHEMA_REFERENCE)
        self.components: dict[str, Any] = _plain(components) | perturbation_schemas(
            SCHEMA_REFERENCE
        )
        for route in routes:
            if route.body_record is not None and route.is_strict:
                self._close(route.body_record.__name__)

    def _close(self, name: str) -> None:
        """Say that a record of a body, and those in it, take no other members."""
        schema = self.components[name]
        if schema.get("type") == "object" and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
            for reference in _references(schema.get("properties", {})):
                self._close(reference)

    def parameters(self, record: type[Record], *, place: str) -> list[dict[str, Any]]:
        """The members of a record, as parameters of a path or a query."""
        if record not in self._parameters:
            _, components = msgspec.json.schema_components([record], ref_template=SCHEMA_REFERENCE)
            self._parameters[record] = _plain(components)[record.__name__]
        schema = self._parameters[record]
        required = schema.get("required", []) if place == "path" else []
        return [
            _parameter(name, place, dict(member), is_required=name in required)
            for name, member in schema["properties"].items()
        ]


def _references(schema: object) -> Iterator[str]:
    """The names of the components that a part of a schema refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _parameter(
    name: str, place: str, schema: dict[str, Any], *, is_required: bool
) -> dict[str, Any]:
    description = schema.pop("description", None)
    schema.pop("examples", None)
    schema.pop("default", None)
    if "anyOf" in schema:
        (schema,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    if isinstance(schema.get("type"), list):
        schema["type"] = next(each for each in schema["type"] if each != "null")
    if "$ref" in schema:
        # In a query, only what can be named.
        schema = {"type": "string"}
    parameter = {"name": name, "in": place, "required": is_required, "schema": schema}
    return parameter | ({"description": description} if description else {})


def _plain(schema: Any) -> Any:
    """A schema as people write it: no titles, and a type that may be null as one list."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {
        key: {name: _plain(member) for name, member in value.items()}
        if key == "properties"
        else _plain(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str)) and (key, value) not in _UNSAID
    }
    if isinstance(schema.get("description"), str):
        schema["description"] = " ".join(schema["description"].split())
    members = schema.get("anyOf", ())
    if len(members) == 2 and {"type": "null"} in members:
        (other,) = (each for each in members if each != {"type": "null"})
        if isinstance(other.get("type"), str):
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            return other | rest | {"type": [other["type"], "null"]}
    return schema


def _security_scheme() -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of the server (PHANTOM_API_TOKEN), where it has one. A page "
        "that opens a WebSocket sends it as the first sub-protocol, "
        f"`{SUBPROTOCOL_PREFIX.decode()}TOKEN`, before the one of the form that it wants.",
    }


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    success: dict[str, Any] = {"description": route.summary}
    if route.status != 101:
        schema = {"type": "string"} if route.answer is None else _ref(route.answer)
        first, *others = route.media_types
        success["content"] = {first: _content(schema, route.examples)}
        success["content"] |= {each: {"schema": {"type": "string"}} for each in others}
    # Whatever is asked passes the policy first.
    is_open = route.path in OPEN_PATHS
    problems = {*route.statuses, *((429,) if is_open else (401, 429))}
    responses = {str(route.status): success}
    if route.pending is not None:
        content = {JSON_TYPE: _content(_ref(route.pending), {})}
        responses["202"] = {"description": "it is being made: ask again", "content": content}
        responses["202"]["headers"] = _RETRY_AFTER
    responses |= {str(status): _problem(status) for status in sorted(problems)}
    described: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [route.tag],
        "summary": route.summary,
        "responses": responses,
    }
    if is_open:
        described["security"] = []
    if route.description:
        described["description"] = route.description
    parameters = []
    if route.path_record is not None:
        parameters += schemas.parameters(route.path_record, place="path")
    if route.query_record is not None:
        parameters += schemas.parameters(route.query_record, place="query")
    if parameters:
        described["parameters"] = parameters
    if route.body_record is not None:
        content = {JSON_TYPE: _content(_ref(route.body_record), route.body_examples)}
        # What may stand in the query may do so alone.
        is_required = route.query_record is not route.body_record
        described["requestBody"] = {"required": is_required, "content": content}
    return described


def _ref(record: type[Record]) -> dict[str, Any]:
    return {"$ref": SCHEMA_REFERENCE.format(name=record.__name__)}


def _content(schema: dict[str, Any], examples: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return content


def _operation_id(route: Route) -> str:
    words = re.findall(r"[A-Za-z]+", route.path)
    return route.method.lower() + "".join(word.capitalize() for word in words)


def _problem(status: int) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "description": _ERRORS.get(status) or HTTPStatus(status).phrase.lower(),
        "content": {PROBLEM_TYPE: {"schema": _ref(Problem)}},
    }
    return problem | ({"headers": _HEADERS[status]} if status in _HEADERS else {})
