"""`/api/control`: pause, resume, stop, seek, speed, and where a session is."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

from phantomlink.engine.session import Session
from phantomlink.errors import InvalidParameterError
from phantomlink.rest.playheads import (
    CurrentPacket,
    FilteredPlayheads,
    IsPlaying,
    Loop,
    SequenceNumber,
    TotalPackets,
    WaitingFor,
    filtered_of,
    pace_of,
    playhead_of,
    seconds_of,
)
from phantomlink.rest.records import (
    BinSizeMs,
    FrequencyHz,
    PositionSeconds,
    Record,
    SessionCode,
    Speed,
    about,
)
from phantomlink.rest.request import Request
from phantomlink.rest.route import Handler, Route, route
from phantomlink.rest.routes.sessions import SPEED_BOUNDS, Done, OfSession

TAG = "control"
MOST_STEPS = 1000


class Seek(Record, frozen=True):
    """One of packet_id, position_seconds and trial_id."""

    packet_id: Annotated[
        Annotated[int, about(minimum=0)] | None, about("bin of the recording", 1000)
    ] = None
    position_seconds: Annotated[
        Annotated[float, about(minimum=0)] | None, about("from the start of the recording")
    ] = None
    trial_id: Annotated[
        Annotated[int, about(minimum=0)] | None, about("row in the trial table", 5)
    ] = None
    event: Annotated[
        str | None, about("column of times of the trial; its start without", "go_cue_time")
    ] = None


class Sought(Record, frozen=True):
    """Where it goes on."""

    status: Literal["seeked"]
    session_code: SessionCode
    packet_id: Annotated[int, about("the first one that the unfiltered playhead sends now", 1000)]
    position_seconds: Annotated[float, about("start of that packet", 25.0)]


class Step(Record, frozen=True):
    """How far to go."""

    packets: Annotated[
        int, about("to send before it is paused again", minimum=1, maximum=MOST_STEPS)
    ] = 1


class SetSpeed(Record, frozen=True):
    """How fast to play."""

    speed: Annotated[Annotated[float, about(**SPEED_BOUNDS)] | None, about("times faster", 2.0)] = (
        None
    )


class Paced(Record, frozen=True):
    """How fast it plays now, and from which packet on."""

    status: Literal["paced"]
    session_code: SessionCode
    packet_id: Annotated[int, about("the first one that the unfiltered playhead sends so", 1000)]
    bin_size_ms: BinSizeMs
    speed: Speed
    frequency_hz: FrequencyHz


class Position(Record, frozen=True):
    """Of the unfiltered playhead, the others beside it."""

    session_code: SessionCode
    position_seconds: PositionSeconds
    current_packet: CurrentPacket
    duration_seconds: Annotated[float, about(example=293.675)]
    total_packets: TotalPackets
    is_playing: IsPlaying
    waiting_for: WaitingFor
    is_paused: bool
    is_stopped: Annotated[bool, about("waits for a listener or for resume")]
    sequence_number: SequenceNumber
    loop: Loop
    filtered: FilteredPlayheads


def _simple(verb: str, done: str, errors: tuple[int, ...] = ()) -> Callable[[Handler], Route]:
    example = {"status": done, "session_code": "swift-neural-42"}
    return route(
        "POST", f"/api/control/{{code}}/{verb}", TAG, errors=errors, examples={done: example}
    )


@_simple("pause", "paused")
async def pause(request: Request, path: OfSession) -> Done:
    """Hold every playhead.

    Twice is fine.
    """
    request.session(path.code).pause()
    return Done("paused", path.code)


@_simple("resume", "resumed")
async def resume(request: Request, path: OfSession) -> Done:
    """Go on after a pause or a stop.

    Packets missed while paused are not sent later.
    """
    request.session(path.code).resume()
    return Done("resumed", path.code)


@_simple("stop", "stopped")
async def stop(request: Request, path: OfSession) -> Done:
    """Close the sockets and rewind.

    Sockets close with 1000. The next listener, or resume, starts it again.
    """
    request.session(path.code).stop()
    return Done("stopped", path.code)


@route(
    "POST",
    "/api/control/{code}/seek",
    TAG,
    body_examples={"packet": {"packet_id": 1000}, "time": {"position_seconds": 25.0}},
)
async def seek(request: Request, path: OfSession, given: Seek) -> Sought:
    """Move every playhead.

    Takes one of packet_id, position_seconds and trial_id, in the body or in the query; with a trial
    an event, the bin that holds it. Filtered playheads go
    to their first match at or after it, wrapping.
    """
    session = request.session(path.code)
    places = {
        "packet_id": given.packet_id,
        "position_seconds": given.position_seconds,
        "trial_id": given.trial_id,
    }
    named = [name for name, value in places.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise InvalidParameterError(f"got {got}, takes one of {', '.join(places)}")
    if given.event is not None and given.trial_id is None:
        raise InvalidParameterError("event: takes a trial_id beside it")
    if given.packet_id is not None:
        session.seek(given.packet_id)
    elif given.position_seconds is not None:
        session.seek_seconds(given.position_seconds)
    elif given.trial_id is not None:
        session.seek(_bin_of_trial(session, given.trial_id, given.event))
    return sought(session)


def _bin_of_trial(session: Session, trial_id: int, event: str | None) -> int:
    """The first bin of a trial, or the bin that holds one of its times."""
    trial = session.recording.trials.by_id(trial_id)
    if event is None or event == "start_time":
        seconds = trial.start_time
    else:
        value = trial.columns.get(event)
        if not isinstance(value, float | int) or isinstance(value, bool) or math.isnan(value):
            times = [name for name in trial.columns if name.endswith("_time")]
            names = dict.fromkeys(["start_time", "stop_time", *times])
            raise InvalidParameterError(
                f"event: got {event[:80]!r}, takes a time of trial {trial_id}: {', '.join(names)}"
            )
        seconds = float(value)
    grid = session.grid
    index = grid.index_of(seconds)
    # A bin belongs to the trial that contains its start.
    return index if event is not None or grid.start_of(index) >= seconds else index + 1


@_simple("step", "stepping", (409,))
async def step(request: Request, path: OfSession, body: Step) -> Done:
    """Send the next packets of a paused session, then pause again.

    At the session's pace. 409 unless it is paused. Where nobody listens, only the position moves.
    """
    if not 1 <= body.packets <= MOST_STEPS:
        raise InvalidParameterError(f"packets: got {body.packets}, takes 1 to {MOST_STEPS}")
    request.session(path.code).step(body.packets)
    return Done("stepping", path.code)


@route(
    "POST",
    "/api/control/{code}/speed",
    TAG,
    body_examples={"twice as fast": {"speed": 2}, "as recorded": {"speed": 1}},
)
async def speed(request: Request, path: OfSession, given: SetSpeed) -> Paced:
    """Play faster or slower than recorded.

    From the next packet on, at the same bin width. Listeners get the metadata message again.
    """
    if given.speed is None:
        raise InvalidParameterError("speed: got none, takes a number")
    session = request.session(path.code)
    request.service.sessions.set_speed(session, given.speed)
    packet_id = session.main.playhead.bin_index
    return Paced("paced", session.code, packet_id, **pace_of(session))


@route("GET", "/api/control/{code}/position", TAG)
async def position(request: Request, path: OfSession) -> Position:
    """Where it is."""
    return position_of(request.session(path.code))


def sought(session: Session) -> Sought:
    """The first packet after a seek."""
    packet_id = session.main.playhead.bin_index
    return Sought("seeked", session.code, packet_id, seconds_of(session.grid, packet_id))


def position_of(session: Session) -> Position:
    """Where a session is."""
    status, grid = session.status(), session.grid
    main = status.playbacks[0]
    return Position(
        session_code=status.code,
        position_seconds=seconds_of(grid, main.current_packet),
        duration_seconds=grid.duration_seconds,
        **playhead_of(main),
        is_paused=status.is_paused,
        is_stopped=status.is_stopped,
        sequence_number=main.sequence_number,
        loop=main.loop,
        filtered=filtered_of(status.playbacks, grid),
    )


ROUTES = (pause, resume, stop, seek, step, speed, position)
