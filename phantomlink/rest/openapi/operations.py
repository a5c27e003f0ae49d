"""Every route of the server, as the OpenAPI document describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from phantomlink.perturbation.perturber import SEEDS
from phantomlink.rest.openapi.parts import CODE_PATTERN, Schema

_BODY_ERRORS = ("413", "415", "422")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    Attributes:
        method: in lower case.
        path: with its parameters in braces.
        summary: one line.
        schema: of a successful answer, by name; None for a text.
        media_type: of a successful answer.
        texts: other media types that it may be asked for, which are texts.
        errors: statuses that are answered with problem details.
        tag: what it is listed under.
        description: what the summary does not say.
        parameters: of path and query.
        body: schema of the request's body, by name; bodies are never required.
        success: status of a successful answer.
        examples: of a successful answer, by name.
        body_examples: of the request's body, by name.
    """

    method: str
    path: str
    summary: str
    schema: str | None = None
    media_type: str = "application/json"
    errors: tuple[str, ...] = ()
    tag: str = "server"
    description: str = ""
    parameters: tuple[Schema, ...] = ()
    body: str | None = None
    success: str = "200"
    examples: dict[str, Any] = field(default_factory=dict)
    body_examples: dict[str, Any] = field(default_factory=dict)
    texts: tuple[str, ...] = ()


def _in_path(name: str, schema: Schema, description: str = "") -> Schema:
    parameter = {"name": name, "in": "path", "required": True, "schema": schema}
    return parameter | {"description": description} if description else parameter


def _in_query(name: str, schema: Schema, description: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": description,
    }


_CODE = _in_path("code", {"type": "string", "pattern": CODE_PATTERN}, "of the session")
_WHOLE = {"type": "integer"}
_SEED = {"type": "integer", "minimum": SEEDS.low, "maximum": SEEDS.high}
_BIN_MS = {"type": "number", "minimum": 1, "maximum": 1000}
_SPEED = {"type": "number", "minimum": 0.1, "maximum": 100}
_KNOWN = ("404", "422", "503")


def operations() -> tuple[Operation, ...]:
    """All of them, in the order in which the page shows them."""
    return (
        *_session_routes(),
        *_control_routes(),
        *_recording_routes(),
        *_server_routes(),
        *_streams(),
        *_pages(),
    )


def _session_routes() -> tuple[Operation, ...]:
    code = _in_query(
        "custom_code", {"type": "string", "pattern": CODE_PATTERN}, "as in the body; not both"
    )
    tag = "sessions"
    return (
        Operation(
            "post",
            "/api/sessions/create",
            "Create a session, or find it by its code",
            "SessionCreated",
            errors=("409", *_BODY_ERRORS, "503"),
            tag=tag,
            parameters=(
                code,
                _in_query("bin_size_ms", _BIN_MS, "as in the body; not both"),
                _in_query("speed", _SPEED, "as in the body; not both"),
                _in_query("lsl", {"type": "boolean"}, "as in the body; not both"),
                _in_query("perturbation", {"type": "string"}, "a preset's name, as in the body"),
                _in_query("seed", _SEED, "as in the body; not both"),
                _in_query("private", {"type": "boolean"}, "as in the body; not both"),
            ),
            body="CreateSession",
            body_examples={
                "nothing asked": {},
                "for 5 ms decoding": {"custom_code": "my-decoder", "bin_size_ms": 5},
                "ten times faster": {"speed": 10},
                "without LSL outlets": {"lsl": False},
                "nobody else's": {"private": True},
                "as a failing implant": {"perturbation": "extreme", "seed": 7},
            },
            description="Without a code one is made up. A code that exists answers that session, "
            "or 409 when it has another bin width, speed, perturbation or seed than was asked "
            "for, or LSL outlets where none were. When there is no "
            "room, the least recently used session without a listener goes; when all have one, "
            "503. A private session has a code of 128 secret bits and no LSL outlets, whose "
            "names would tell it, and is not listed. A session sends up to 4000 packets a second.",
        ),
        Operation(
            "get", "/api/sessions", "List the sessions", "Sessions", errors=("503",), tag=tag
        ),
        Operation(
            "get",
            "/api/sessions/{code}",
            "One session",
            "Session",
            errors=_KNOWN,
            tag=tag,
            parameters=(_CODE,),
        ),
        Operation(
            "delete",
            "/api/sessions/{code}",
            "End a session, whoever is connected",
            "Done",
            errors=_KNOWN,
            tag=tag,
            parameters=(_CODE,),
            description="Its sockets close with 4410. A second time is 404.",
            examples={"deleted": {"status": "deleted", "session_code": "swift-neural-42"}},
        ),
        Operation(
            "get",
            "/api/sessions/{code}/timing",
            "How punctual a session has been, and with what",
            "Timing",
            errors=_KNOWN,
            tag=tag,
            parameters=(
                _CODE,
                _in_query(
                    "format",
                    {"type": "string", "enum": ["json", "text"]},
                    "text for a person to read",
                ),
            ),
            texts=("text/plain",),
        ),
        Operation(
            "post",
            "/api/sessions/cleanup",
            "End the expired sessions now",
            "CleanedUp",
            errors=("503",),
            tag=tag,
        ),
        *_perturbation_routes(),
    )


def _perturbation_routes() -> tuple[Operation, ...]:
    path = "/api/sessions/{code}/perturbation"
    tag = "perturbation"
    bins = {"type": "integer", "minimum": 0}
    return (
        Operation(
            "get",
            path,
            "What is done to a session's packets",
            "SessionPerturbation",
            errors=_KNOWN,
            tag=tag,
            parameters=(_CODE,),
        ),
        Operation(
            "put",
            path,
            "Perturb a session's packets from the next one on",
            "Perturbed",
            errors=(*_KNOWN, "413", "415"),
            tag=tag,
            body="PutPerturbation",
            body_examples={
                "a preset": {"perturbation": "moderate"},
                "noise alone": {
                    "perturbation": {
                        "transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}],
                    },
                    "seed": 7,
                },
            },
            parameters=(
                _CODE,
                _in_query("perturbation", {"type": "string"}, "a preset's name, as in the body"),
                _in_query("seed", _SEED, "as in the body; not both"),
            ),
            description="Position and deadlines stay as they are. Listeners get the metadata "
            "message again. Kinematics and intention are never perturbed.",
        ),
        Operation(
            "delete",
            path,
            "Send the recording's own counts from the next packet on",
            "Perturbed",
            errors=_KNOWN,
            tag=tag,
            parameters=(_CODE,),
            description="The seed stays, for the next perturbation.",
        ),
        Operation(
            "get",
            "/api/sessions/{code}/digest",
            "SHA-256 of what a session's packets say, sent or not",
            "Digest",
            errors=_KNOWN,
            tag=tag,
            parameters=(
                _CODE,
                _in_query("start", bins, "first packet_id; 0"),
                _in_query("stop", bins, "the packet_id after the last one; the end"),
                _in_query("loop", bins, "of the playhead; 0"),
                *_filters(),
            ),
            description="Of each packet in order: its `data` without `timestamp` and "
            "`sequence_number` as canonical JSON (RFC 8785), and a newline. Under the "
            "perturbation and the seed that the session has now; with a filter, of the packets "
            "of that playhead. At most 65536 packets.",
        ),
    )


def _filters() -> tuple[Schema, ...]:
    return tuple(
        _in_query(name, {"type": "integer", "minimum": 0}, "only the bins of matching trials")
        for name in ("trial_id", "target_id", "reach_id")
    )


def _control_routes() -> tuple[Operation, ...]:
    def simple(verb: str, done: str, summary: str, description: str) -> Operation:
        return Operation(
            "post",
            f"/api/control/{{code}}/{verb}",
            summary,
            "Done",
            errors=_KNOWN,
            tag="control",
            parameters=(_CODE,),
            description=description,
            examples={done: {"status": done, "session_code": "swift-neural-42"}},
        )

    return (
        simple("pause", "paused", "Hold every playhead", "Twice is fine."),
        simple("resume", "resumed", "Go on after a pause or a stop", "No packet is made up for."),
        simple(
            "stop",
            "stopped",
            "Close the sockets and rewind",
            "Sockets close with 1000. The next listener, or resume, starts it again.",
        ),
        Operation(
            "post",
            "/api/control/{code}/seek",
            "Move every playhead",
            "Sought",
            errors=(*_KNOWN, "413", "415"),
            tag="control",
            body="Seek",
            body_examples={"packet": {"packet_id": 1000}, "time": {"position_seconds": 25.0}},
            parameters=(
                _CODE,
                _in_query("packet_id", _WHOLE | {"minimum": 0}, "as in the body"),
                _in_query("position_seconds", {"type": "number", "minimum": 0}, "as in the body"),
            ),
            description="Takes one of packet_id and position_seconds, in the body or in the "
            "query. Filtered playheads go to their first match at or after it, wrapping.",
        ),
        Operation(
            "post",
            "/api/control/{code}/speed",
            "Play faster or slower than recorded",
            "Paced",
            errors=(*_KNOWN, "413", "415"),
            tag="control",
            body="Speed",
            body_examples={"twice as fast": {"speed": 2}, "as recorded": {"speed": 1}},
            parameters=(_CODE, _in_query("speed", _SPEED, "as in the body")),
            description="From the next packet on, at the same bin width. Listeners get the "
            "metadata message again.",
        ),
        Operation(
            "get",
            "/api/control/{code}/position",
            "Where it is",
            "Position",
            errors=_KNOWN,
            tag="control",
            parameters=(_CODE,),
        ),
    )


def _recording_routes() -> tuple[Operation, ...]:
    trial_id = _in_path("trial_id", _WHOLE, "row in the trial table")
    target_id = _in_path("target_id", _WHOLE, "index into a trial's own list of targets")
    tag = "recording"
    return (
        Operation(
            "get",
            "/api/metadata",
            "The recording, and how it is played",
            "Metadata",
            errors=_KNOWN,
            tag=tag,
            parameters=(
                _in_query(
                    "session",
                    {"type": "string", "pattern": CODE_PATTERN},
                    "that plays it; without one, as a new session would",
                ),
            ),
        ),
        Operation("get", "/api/trials", "Every trial", "Trials", errors=("503",), tag=tag),
        Operation(
            "get",
            "/api/trials/{trial_id}",
            "One trial",
            "Trial",
            errors=_KNOWN,
            tag=tag,
            parameters=(trial_id,),
        ),
        Operation(
            "get",
            "/api/trials/by-target/{target_id}",
            "The trials that aimed at one target",
            "TrialsOfTarget",
            errors=_KNOWN,
            tag=tag,
            parameters=(target_id,),
        ),
    )


def _server_routes() -> tuple[Operation, ...]:
    return (
        Operation("get", "/health", "How it is, for people", "Health", errors=("503",)),
        Operation("get", "/livez", "Whether the process answers, for machines", "Alive"),
        Operation(
            "get",
            "/readyz",
            "Whether sessions can be served, for machines",
            "Ready",
            errors=("503",),
            description="503 while starting and from the first moment of going away.",
        ),
        Operation(
            "get",
            "/metrics",
            "Figures of every session, or of the server for Prometheus",
            "Metrics",
            errors=("503",),
            texts=("text/plain", "application/openmetrics-text"),
            description="JSON, unless `Accept` asks for the text of Prometheus or OpenMetrics.",
        ),
        Operation(
            "get", "/api/stats", "Figures of all sessions together", "Totals", errors=("503",)
        ),
        Operation(
            "get",
            "/api/stats/{code}",
            "Figures of one session",
            "Stats",
            errors=_KNOWN,
            parameters=(_CODE,),
        ),
    )


def _streams() -> tuple[Operation, ...]:
    filters = _filters()
    form = _in_query(
        "format", {"type": "string", "enum": ["msgpack", "json"]}, "form of the messages"
    )

    def stream(path: str, summary: str, *parameters: Schema) -> Operation:
        return Operation(
            "get",
            path,
            summary,
            errors=("403", *_KNOWN, "426"),
            tag="streams",
            success="101",
            parameters=(_CODE, *parameters, *filters),
            description="A WebSocket upgrade. MetadataMessage, then DataMessage for every packet.",
        )

    return (
        stream("/stream/{code}", "Listen to a session", form),
        stream("/stream/binary/{code}", "Listen to a session, in MessagePack"),
    )


def _pages() -> tuple[Operation, ...]:
    name = _in_path("name", {"type": "string"}, "of the file")
    html = "text/html"
    return (
        Operation("get", "/", "Landing page", media_type=html, errors=("503",), tag="pages"),
        Operation("get", "/docs", "This document, to try out", media_type=html, tag="pages"),
        Operation(
            "get",
            "/docs/{name}",
            "A file of that page",
            media_type="*/*",
            errors=("404",),
            tag="pages",
            parameters=(name,),
        ),
        Operation("get", "/openapi.json", "This document", "Document", tag="pages"),
    )
