"""`/api/sessions`: make, list, show and end sessions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from phantomlink.engine.pace import MAX_BIN_MS, MAX_SPEED, MIN_BIN_MS, MIN_SPEED
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import is_private
from phantomlink.rest.figures import DatasetName
from phantomlink.rest.playheads import (
    CurrentPacket,
    FilteredPlayheads,
    IsPlaying,
    TotalPackets,
    WaitingFor,
    filtered_of,
    pace_of,
    perturbation_of,
    playhead_of,
    seconds_of,
)
from phantomlink.rest.records import (
    BinSizeMs,
    FrequencyHz,
    Moment,
    PerturbationId,
    PerturbationJson,
    Perturbed,
    PositionSeconds,
    Record,
    Seed,
    SessionCode,
    Speed,
    about,
    encoded,
    iso,
)
from phantomlink.rest.request import Request
from phantomlink.rest.route import route
from phantomlink.rest.session_turns import of_each

TAG = "sessions"
IsPrivate = Annotated[bool, about("the code is a secret, and the session is not listed")]
BIN_BOUNDS = {"minimum": MIN_BIN_MS, "maximum": MAX_BIN_MS}
SPEED_BOUNDS = {"minimum": float(MIN_SPEED), "maximum": float(MAX_SPEED)}


class OfSession(Record, frozen=True):
    """The session in a path."""

    code: Annotated[SessionCode, about("of the session")]


class Blind(Record, frozen=True):
    """Trials whose kinematics, targets and times nobody gets in this session."""

    test_trials: Annotated[list[int], about("their ids", [2, 6, 10])]


class CreateSession(Record, frozen=True):
    """What a new session is to be."""

    custom_code: SessionCode | None = None
    dataset: Annotated[
        str | None, about("name of the dataset to play; the default one", "mc_maze_small")
    ] = None
    bin_size_ms: Annotated[
        Annotated[float, about(**BIN_BOUNDS)] | None,
        about("width of a bin, 1 to 1000; the server's", 25.0),
    ] = None
    speed: Annotated[
        Annotated[float, about(**SPEED_BOUNDS)] | None, about("times faster; 1", 1.0)
    ] = None
    lsl: Annotated[
        bool | None, about("whether to have LSL outlets; true, if the server has any")
    ] = None
    brand: Annotated[
        bool | None,
        about("whether to be streams of a BRAND graph; false, and only if the server has a Redis"),
    ] = None
    perturbation: Annotated[PerturbationJson, about("null: the server's")] = None
    seed: Seed | None = None
    blind: Annotated[
        Blind | None, about("hide the truth of some trials from everybody in this session")
    ] = None
    private: Annotated[
        bool | None,
        about("make up a code that cannot be guessed, for a session that is not listed"),
    ] = None


class LslStream(Record, frozen=True):
    """One outlet; find it by its source id."""

    name: Annotated[str, about("of the stream", "PhantomLink-Neural-swift-neural-42")]
    type: Annotated[str, about("of the stream", "EEG")]
    source_id: Annotated[
        str, about("the same after a restart", "phantomlink-neural-swift-neural-42")
    ]
    channel_count: Annotated[int, about("columns", 142)]
    nominal_rate_hz: Annotated[float, about("samples a second; 0: irregular", 40.0)]
    channel_format: Annotated[str, about(enum=["int32", "float32", "string"])]


class Lsl(Record, frozen=True):
    """Lab Streaming Layer outlets of a session."""

    is_available: Annotated[bool, about("there are outlets")]
    reason: Annotated[str | None, about("why there are none", "LSL is switched off")]
    has_consumers: Annotated[bool, about("an inlet is connected; all together are one listener")]
    streams: Annotated[list[LslStream], about("none where there are no outlets")]


SessionLsl = Annotated[Lsl | msgspec.UnsetType, about("the session's Lab Streaming Layer outlets")]


class Brand(Record, frozen=True):
    """The session's streams on the server's Redis."""

    is_available: Annotated[bool, about("entries are sent now")]
    reason: Annotated[str | None, about("why not", None)]
    streams: Annotated[
        dict[str, str],
        about("their keys by kind", {"neural": "phantomlink_swift-neural-42_neural"}),
    ]
    count_type: Annotated[str, about("of the samples of the neural stream", "int8")]
    sent: Annotated[int, about("packets", 400)]
    dropped: Annotated[int, about("packets that could not be sent in time", 0)]
    saturated: Annotated[int, about("counts above the largest of their type, sent as that", 0)]


SessionBrand = Annotated[
    Brand | msgspec.UnsetType, about("its streams of a BRAND graph, if it was asked for with them")
]


OtherOutputs = Annotated[
    dict[str, Any] | msgspec.UnsetType, about("what outputs of further kinds say, by kind")
]


class SessionCreated(Record, frozen=True):
    """A session, new or found."""

    session_code: SessionCode
    stream_url: Annotated[
        str,
        about(
            "WebSocket, by the host that this request used",
            "ws://127.0.0.1:8000/stream/swift-neural-42",
        ),
    ]
    created_at: Moment
    created: Annotated[bool, about("false when the session was there already")]
    dataset: DatasetName
    is_private: IsPrivate
    bin_size_ms: BinSizeMs
    speed: Speed
    frequency_hz: FrequencyHz
    perturbation: Perturbed
    perturbation_id: PerturbationId
    seed: Seed
    lsl: SessionLsl = msgspec.UNSET
    brand: SessionBrand = msgspec.UNSET
    outputs: OtherOutputs = msgspec.UNSET


class SessionState(Record, frozen=True):
    """Position and packets are those of the unfiltered playhead."""

    session_code: SessionCode
    dataset: DatasetName
    is_private: IsPrivate
    created_at: Moment
    last_accessed: Moment
    active_connections: Annotated[int, about("listeners of all its playheads", 1)]
    is_running: Annotated[bool, about("somebody listens and it was not stopped")]
    is_paused: bool
    is_stopped: Annotated[bool, about("waits for a listener or for resume")]
    is_playing: IsPlaying
    waiting_for: WaitingFor
    current_packet: CurrentPacket
    total_packets: TotalPackets
    position_seconds: PositionSeconds
    bin_size_ms: BinSizeMs
    speed: Speed
    frequency_hz: FrequencyHz
    filtered: FilteredPlayheads
    perturbation: Perturbed
    perturbation_id: PerturbationId
    seed: Seed
    lsl: SessionLsl = msgspec.UNSET
    brand: SessionBrand = msgspec.UNSET
    outputs: OtherOutputs = msgspec.UNSET


class Sessions(Record, frozen=True):
    """The sessions that there are."""

    sessions: Annotated[dict[str, SessionState], about("sessions by code, without private ones")]
    total_sessions: Annotated[int, about("of those", 1)]


class CleanedUp(Record, frozen=True):
    """How many sessions had expired."""

    cleaned_up: Annotated[int, about("sessions ended", 0)]


class Done(Record, frozen=True):
    """What was done to a session."""

    status: Literal["paused", "resumed", "stopped", "stepping", "deleted"]
    session_code: SessionCode


@route(
    "POST",
    "/api/sessions/create",
    TAG,
    errors=(404, 409),
    body_examples={
        "nothing asked": {},
        "for 5 ms decoding": {"custom_code": "my-decoder", "bin_size_ms": 5},
        "ten times faster": {"speed": 10},
        "without LSL outlets": {"lsl": False},
        "nobody else's": {"private": True},
        "to judge a decoder by": {"blind": {"test_trials": [2, 6, 10]}},
        "as a failing implant": {"perturbation": "extreme", "seed": 7},
    },
)
async def create(request: Request, given: CreateSession) -> SessionCreated:
    """Create a session, or find it by its code.

    Without a code one is made up. A code that exists answers that session, or 409 when it has
    another dataset, bin width, speed, perturbation or seed than was asked for, or LSL outlets where
    none were. When there is no room, the least recently used session without a listener goes; when
    all have one, 503. A private session has a code of 128 secret bits and no LSL outlets, whose
    names would tell it, and is not listed. A session sends up to 4000 packets a second.
    """
    session, created = await request.service.sessions.create(
        given.custom_code,
        bin_size_ms=given.bin_size_ms,
        speed=given.speed,
        outputs={
            name: is_wanted
            for name, is_wanted in (("lsl", given.lsl), ("brand", given.brand))
            if is_wanted is not None
        },
        perturbation=given.perturbation,
        seed=given.seed,
        private=given.private,
        test_trials=None if given.blind is None else given.blind.test_trials,
        dataset=given.dataset,
    )
    return session_created(session, created=created, base_url=request.stream_base_url)


@route("GET", "/api/sessions", TAG)
async def list_all(request: Request) -> Sessions:
    """List the sessions."""
    states = await of_each(
        request.service.registry, lambda session: encoded(session_state(session))
    )
    listed = {code: state for code, state in states.items() if not is_private(code)}
    return Sessions(listed, len(listed))


@route("GET", "/api/sessions/{code}", TAG)
async def show(request: Request, path: OfSession) -> SessionState:
    """One session."""
    return session_state(request.session(path.code))


@route(
    "DELETE",
    "/api/sessions/{code}",
    TAG,
    examples={"deleted": {"status": "deleted", "session_code": "swift-neural-42"}},
)
async def delete(request: Request, path: OfSession) -> Done:
    """End a session, whoever is connected.

    Its sockets close with 4410. A second time is 404.
    """
    request.service.registry.delete(path.code)
    return Done("deleted", path.code)


@route("POST", "/api/sessions/cleanup", TAG)
async def clean_up(request: Request) -> CleanedUp:
    """End the expired sessions now."""
    return CleanedUp(request.service.registry.cleanup())


def session_created(session: Session, *, created: bool, base_url: str) -> SessionCreated:
    """The session; `base_url` is that of WebSockets, as the client sees it."""
    return SessionCreated(
        session_code=session.code,
        stream_url=f"{base_url}/stream/{session.code}",
        created_at=iso(session.created_at),
        created=created,
        dataset=session.recording.dataset,
        is_private=is_private(session.code),
        **pace_of(session),
        **outputs_of(session),
        **perturbation_of(session),
    )


def session_state(session: Session) -> SessionState:
    """The session now."""
    status, grid = session.status(), session.grid
    main = status.playbacks[0]
    return SessionState(
        session_code=status.code,
        dataset=session.recording.dataset,
        is_private=is_private(status.code),
        created_at=iso(status.created_at),
        last_accessed=iso(status.last_accessed),
        active_connections=status.active_connections,
        is_running=status.is_running,
        is_paused=status.is_paused,
        is_stopped=status.is_stopped,
        **playhead_of(main),
        position_seconds=seconds_of(grid, main.current_packet),
        **pace_of(session),
        filtered=filtered_of(status.playbacks, grid),
        **outputs_of(session),
        **perturbation_of(session),
    )


def outputs_of(session: Session) -> dict[str, Any]:
    """What the session's outputs say of themselves, by name.

    Those that have a record here are members of their own.
    """
    said = {output.kind: output.as_json() for output in session.outputs}
    said = {kind: json for kind, json in said.items() if json is not None}
    others = {kind: said.pop(kind) for kind in list(said) if kind not in ("lsl", "brand")}
    return said | ({"outputs": others} if others else {})


ROUTES = (create, list_all, show, delete, clean_up)
