"""The OpenAPI 3.1 document of the REST interface, with what it can say of the WebSockets."""

from __future__ import annotations

import re
from typing import Any

from phantomlink import __version__
from phantomlink.access.token import OPEN_PATHS, SUBPROTOCOL_PREFIX
from phantomlink.rest.openapi.operations import Operation, operations
from phantomlink.rest.openapi.parts import ref
from phantomlink.rest.openapi.recording_schemas import recording_schemas
from phantomlink.rest.openapi.session_schemas import session_schemas
from phantomlink.rest.openapi.timing_schemas import timing_schemas
from phantomlink.rest.responses import PROBLEM_TYPE

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

**Errors** are problem details (RFC 9457). Every `GET` answers `HEAD` too. Pages of localhost \
may call all of this from a browser (CORS), never with cookies."""

_ERRORS = {
    "401": "the server has a token, and the request has not",
    "403": "a page of another origin asks",
    "404": "there is nothing of this name",
    "409": "the session exists and is another than was asked for",
    "413": "the body is too large",
    "415": "the body is not JSON",
    "422": "a parameter has the wrong form or is out of range",
    "426": "not a WebSocket upgrade",
    "429": "too many requests, or WebSocket clients, from one address",
    "503": "not available now",
}
_RETRY_AFTER = {
    "Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}},
}
_CHALLENGE = {
    "WWW-Authenticate": {"description": "takes a bearer token", "schema": {"type": "string"}},
}
_HEADERS = {"401": _CHALLENGE, "429": _RETRY_AFTER, "503": _RETRY_AFTER}
_TOKEN = "token"


def openapi_document() -> dict[str, Any]:
    """The document, ready for JSON."""
    paths: dict[str, Any] = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "PhantomLink", "version": __version__, "description": _DESCRIPTION},
        "tags": [
            {"name": "sessions", "description": "Playbacks that do not touch each other."},
            {"name": "control", "description": "Pause, resume, stop, seek, speed."},
            {"name": "perturbation", "description": "Noise, drift, failing electrodes, losses."},
            {"name": "recording", "description": "What is played."},
            {"name": "server", "description": "How it is doing."},
            {"name": "streams", "description": "WebSockets; a browser cannot try them here."},
            {"name": "pages", "description": "For people."},
        ],
        "paths": paths,
        # With a token where the server has one, and without where it has none.
        "security": [{_TOKEN: []}, {}],
        "components": {
            "schemas": session_schemas() | timing_schemas() | recording_schemas(),
            "securitySchemes": {_TOKEN: _security_scheme()},
        },
    }


def _security_scheme() -> dict[str, Any]:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "The token of the server (PHANTOM_API_TOKEN), where it has one. A page "
        "that opens a WebSocket sends it as the first sub-protocol, "
        f"`{SUBPROTOCOL_PREFIX.decode()}TOKEN`, before the one of the form that it wants.",
    }


def _operation(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": operation.summary}
    if operation.success == "200":
        schema = {"type": "string"} if operation.schema is None else ref(operation.schema)
        success["content"] = {operation.media_type: _content(schema, operation.examples)}
        for media_type in operation.texts:
            success["content"][media_type] = {"schema": {"type": "string"}}
    responses = {operation.success: success}
    # Whatever is asked passes the policy first.
    is_open = operation.path in OPEN_PATHS
    policy = ("429",) if is_open else ("401", "429")
    for status in sorted({*operation.errors, *policy}):
        responses[status] = _problem(status)
    described: dict[str, Any] = {
        "operationId": _operation_id(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses,
    }
    if is_open:
        described["security"] = []
    if operation.description:
        described["description"] = operation.description
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = {
            "required": False,
            "content": {"application/json": _content(ref(operation.body), operation.body_examples)},
        }
    return described


def _content(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return content


def _operation_id(operation: Operation) -> str:
    words = re.findall(r"[A-Za-z]+", operation.path)
    return operation.method + "".join(word.capitalize() for word in words)


def _problem(status: str) -> dict[str, Any]:
    problem: dict[str, Any] = {
        "description": _ERRORS[status],
        "content": {PROBLEM_TYPE: {"schema": ref("Problem")}},
    }
    return problem | {"headers": _HEADERS[status]} if status in _HEADERS else problem
