"""JSON Schemas of the server and its sessions: what they are asked, are doing and have measured."""

from __future__ import annotations

from phantomlink.perturbation import perturbation_schema
from phantomlink.rest.openapi.parts import (
    Schema,
    array,
    described,
    flag,
    integer,
    nullable,
    number,
    record,
    ref,
    seed,
    session_code,
    text,
    time,
    typed,
)


def session_schemas() -> dict[str, Schema]:
    """By name."""
    return _server() | _sessions() | _figures() | _perturbations()


def _server() -> dict[str, Schema]:
    return {
        "Problem": record(
            "Problem details (RFC 9457). `type` is always about:blank; `title` tells errors of "
            "one status apart.",
            {
                "type": text(const="about:blank"),
                "title": text("kind of error", "Outside the recording"),
                "status": integer("the HTTP status", 422),
                "detail": text(
                    "what came and what is allowed", "packet_id: got 99999, takes 0 to 11746"
                ),
            },
        ),
        "Document": typed("object", "An OpenAPI 3.1 document."),
        "Alive": record("The process answers.", {"status": text(const="alive")}),
        "Ready": record("Sessions can be served.", {"status": text(const="ready")}),
        "Health": record(
            "For people and dashboards.",
            {
                "status": text(const="healthy"),
                "version": text("of the server", "0.1.0"),
                "timestamp": time("now"),
                "active_sessions": integer("sessions that somebody listens to", 1),
                "active_connections": integer("listeners of all sessions", 2),
            },
        ),
    }


def _playhead() -> dict[str, Schema]:
    return {
        "current_packet": integer("packet_id of the next packet", 1234),
        "total_packets": integer("bins that it plays before it wraps", 11747),
        "is_playing": flag("it advances now"),
        "waiting_for": nullable(
            text(
                "why it does not although it should: the recording cannot be read",
                "mc_maze.nwb: no such file",
            )
        ),
    }


def _pace() -> dict[str, Schema]:
    return {
        "bin_size_ms": number("width of a bin", 25.0),
        "speed": number("times faster than recorded", 1.0),
        "frequency_hz": number("packets a second", 40.0),
    }


def _filtered() -> Schema:
    return array(ref("FilteredPlayhead"), "the playheads of the filters in use")


def _position_seconds() -> Schema:
    return number("start of current_packet, from the start of the recording", 30.85)


def _sessions() -> dict[str, Schema]:
    state = {
        "is_running": flag("somebody listens and it was not stopped"),
        "is_paused": flag(),
        "is_stopped": flag("waits for a listener or for resume"),
    }
    lsl = described("Lsl", "the session's Lab Streaming Layer outlets")
    return {
        "Lsl": record(
            "Lab Streaming Layer outlets of a session.",
            {
                "is_available": flag("there are outlets"),
                "reason": nullable(text("why there are none", "LSL is switched off")),
                "has_consumers": flag("an inlet is connected; all together are one listener"),
                "streams": array(ref("LslStream"), "none where there are no outlets"),
            },
        ),
        "LslStream": record(
            "One outlet; find it by its source id.",
            {
                "name": text("of the stream", "PhantomLink-Neural-swift-neural-42"),
                "type": text("of the stream", "EEG"),
                "source_id": text("the same after a restart", "phantomlink-neural-swift-neural-42"),
                "channel_count": integer("columns", 142),
                "nominal_rate_hz": number("samples a second; 0: irregular", 40.0),
                "channel_format": text(enum=["int32", "float32", "string"]),
            },
        ),
        "CreateSession": record(
            "",
            {
                "custom_code": nullable(session_code()),
                "bin_size_ms": nullable(
                    number("width of a bin, 1 to 1000; the server's", 25.0, minimum=1, maximum=1000)
                ),
                "speed": nullable(
                    number("times faster; 1", 1.0, minimum=0.1, maximum=100),
                ),
                "lsl": nullable(flag("whether to have LSL outlets; true, if the server has any")),
                "perturbation": described("Perturbation", "null: the server's"),
                "seed": nullable(seed()),
                "private": nullable(
                    flag("make up a code that cannot be guessed, for a session that is not listed")
                ),
            },
            frozenset(
                {"private", "custom_code", "bin_size_ms", "speed", "lsl", "perturbation", "seed"}
            ),
        ),
        "SessionCreated": record(
            "",
            {
                "session_code": session_code(),
                "stream_url": text(
                    "WebSocket, by the host that this request used",
                    "ws://127.0.0.1:8000/stream/swift-neural-42",
                ),
                "created_at": time(),
                "created": flag("false when the session was there already"),
                "is_private": flag("the code is a secret, and the session is not listed"),
                **_pace(),
                "lsl": lsl,
                **_perturbation(),
            },
        ),
        "Session": record(
            "Position and packets are those of the unfiltered playhead.",
            {
                "session_code": session_code(),
                "is_private": flag("the code is a secret, and the session is not listed"),
                "created_at": time(),
                "last_accessed": time(),
                "active_connections": integer("listeners of all its playheads", 1),
                **state,
                **_playhead(),
                "position_seconds": _position_seconds(),
                **_pace(),
                "filtered": _filtered(),
                "lsl": lsl,
                **_perturbation(),
            },
        ),
        "Sessions": record(
            "",
            {
                "sessions": typed(
                    "object",
                    "sessions by code, without private ones",
                    additionalProperties=ref("Session"),
                ),
                "total_sessions": integer("of those", 1),
            },
        ),
        "CleanedUp": record("", {"cleaned_up": integer("sessions ended", 0)}),
        "Done": record(
            "",
            {
                "status": text(enum=["paused", "resumed", "stopped", "deleted"]),
                "session_code": session_code(),
            },
        ),
        "Seek": record(
            "One of the two.",
            {
                "packet_id": nullable(integer("bin of the recording", 1000, minimum=0)),
                "position_seconds": nullable(number("from the start of the recording", minimum=0)),
            },
            frozenset({"packet_id", "position_seconds"}),
        ),
        "Sought": record(
            "",
            {
                "status": text(const="seeked"),
                "session_code": session_code(),
                "packet_id": integer("the first one that the unfiltered playhead sends now", 1000),
                "position_seconds": number("start of that packet", 25.0),
            },
        ),
        "Speed": record(
            "",
            {"speed": nullable(number("times faster", 2.0, minimum=0.1, maximum=100))},
            frozenset({"speed"}),
        ),
        "Paced": record(
            "",
            {
                "status": text(const="paced"),
                "session_code": session_code(),
                "packet_id": integer("the first one that the unfiltered playhead sends so", 1000),
                **_pace(),
            },
        ),
        "Position": record(
            "Of the unfiltered playhead, the others beside it.",
            {
                "session_code": session_code(),
                "position_seconds": _position_seconds(),
                "duration_seconds": number(example=293.675),
                "is_paused": flag(),
                "is_stopped": flag("waits for a listener or for resume"),
                "sequence_number": integer("of the next packet", 87),
                "loop": integer("times it has wrapped", 0),
                **_playhead(),
                "filtered": _filtered(),
            },
        ),
        "FilteredPlayhead": record(
            "A playhead over the bins that a filter lets through.",
            {
                "filter": record(
                    "What is null does not matter.",
                    {name: nullable(integer()) for name in ("trial_id", "target_id", "reach_id")},
                ),
                **_playhead(),
                "position_seconds": _position_seconds(),
                "sequence_number": integer("of the next packet", 87),
                "loop": integer("times it has wrapped", 0),
                "active_connections": integer("its listeners", 1),
                "packets_sent": integer("packets released", 87),
                "stalls": _stalls(),
                "overruns": _overruns(),
            },
        ),
    }


def _perturbation() -> dict[str, Schema]:
    return {
        "perturbation": described("Perturbation", "what is done; null: nothing"),
        "perturbation_id": nullable(
            text("names perturbation and seed in every packet; null: none", "3f9a1c2b4d5e")
        ),
        "seed": seed(),
    }


def _perturbations() -> dict[str, Schema]:
    return {
        "Perturbation": perturbation_schema(),
        "PutPerturbation": record(
            "",
            {"perturbation": ref("Perturbation"), "seed": nullable(seed())},
            frozenset({"seed"}),
        ),
        "SessionPerturbation": record("", {"session_code": session_code(), **_perturbation()}),
        "Perturbed": record(
            "",
            {
                "status": text(enum=["perturbed", "clean"]),
                "packet_id": integer("the first one that the unfiltered playhead sends so", 1000),
                "session_code": session_code(),
                **_perturbation(),
            },
        ),
        "Digest": record(
            "Of what packets say, as RFC 8785 writes it.",
            {
                "session_code": session_code(),
                **_perturbation(),
                "start": integer("first packet_id", 0),
                "stop": integer("the packet_id after the last one", 11747),
                "loop": integer("of the playhead", 0),
                "filter": record(
                    "What is null does not matter.",
                    {name: nullable(integer()) for name in ("trial_id", "target_id", "reach_id")},
                ),
                "num_packets": integer("that it is of", 11747),
                "sha256": text("hexadecimal digits", pattern="^[0-9a-f]{64}$"),
            },
        ),
    }


def slowness() -> dict[str, Schema]:
    """What was lost on the way to clients that are too slow, and who is behind."""
    return {
        "dropped_packets": integer("packets that slow clients lost, summed over clients", 0),
        "slow_clients": integer("clients that lost packets, those that have left included", 0),
        "slow_clients_closed": integer("clients that were closed with 4408", 0),
        "slow_clients_now": array(
            record(
                "",
                {
                    "client_id": integer("number of the connection, as in the log", 17),
                    "queued_packets": integer("packets that wait for it", 3),
                    "queued_bytes": integer("bytes that all that waits for it takes", 2100),
                    "dropped_packets": integer("packets that it has lost", 0),
                    "behind_seconds": nullable(
                        number("since something has been waiting for it; null when nothing is")
                    ),
                },
            ),
            "clients that are connected and are behind or have lost packets",
        ),
    }


def injected_counts() -> dict[str, Schema]:
    """Counts of faults of transport that were played on purpose."""
    return {
        "lost": integer("packets that nobody was given", 0),
        "duplicated": integer("packets that everybody was given twice", 0),
        "reordered": integer("packets that left after their successor", 0),
        "delayed": integer("packets that left after their deadline", 0),
    }


def _stalls() -> Schema:
    return integer("times a tick was too late to catch up, so the others moved", 0)


def _overruns() -> Schema:
    return integer("packets that were not ready when they were due", 0)


def _figures() -> dict[str, Schema]:
    counted = {
        "packets_sent": integer(
            "packets released by its playheads, each once however many listen", 1234
        ),
        "dropped_packets": integer("packets that slow clients lost, summed over clients", 0),
    }
    durations = {
        "timing_error_ms": described("Milliseconds", "release of a packet minus its deadline"),
        "network_latency_ms": described(
            "Milliseconds",
            "from a packet's offer to a WebSocket client until the operating system (or the "
            "ASGI server) took it; not the way across the network",
        ),
    }
    memory = number("resident memory of the whole process, which sessions share, MB", 110.5)
    return {
        "Milliseconds": record(
            "Durations of many packets; null where none was measured.",
            {name: nullable(number()) for name in ("mean", "std", "p50", "p99", "max")},
        ),
        "Stats": record(
            "Of the unfiltered playhead, the others beside it; packets_sent, dropped_packets and "
            "active_connections of all.",
            {
                "session_code": session_code(),
                "is_running": flag("somebody listens and it was not stopped"),
                "is_paused": flag(),
                **_playhead(),
                "elapsed_seconds": number("stream time: packets released by their width", 30.85),
                "active_connections": integer(example=1),
                **counted,
                **slowness(),
                "stalls": _stalls(),
                "overruns": _overruns(),
                "injected": record("Faults that were played on purpose.", injected_counts()),
                **durations,
                "filtered": _filtered(),
            },
        ),
        "Totals": record(
            "Over the sessions that there are.",
            {
                "total_sessions": integer(example=2),
                "active_sessions": integer("sessions that somebody listens to", 1),
                "active_connections": integer(example=1),
                "max_sessions": integer("that the server was told to allow", 10),
                **counted,
                "stalls": _stalls(),
                "overruns": _overruns(),
                "memory_usage_mb": memory,
            },
        ),
        "SessionMetrics": record(
            "",
            {
                **counted,
                **durations,
                "memory_usage_mb": memory,
                "is_running": flag(),
                "is_paused": flag(),
                "connections": integer("listeners", 1),
            },
        ),
        "Metrics": record(
            "",
            {
                "timestamp": time("now"),
                "service": text(const="phantomlink"),
                "version": text("of the server", "0.1.0"),
                "metrics": record(
                    "",
                    {
                        "total_sessions": integer(example=2),
                        "active_sessions": integer("sessions that somebody listens to", 1),
                        "total_connections": integer("listeners now", 1),
                        "sessions": typed(
                            "object",
                            "by code; that of a private one is shortened, with dots at its end",
                            additionalProperties=ref("SessionMetrics"),
                        ),
                    },
                ),
            },
        ),
    }
