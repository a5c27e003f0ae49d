"""`/api/metadata` and `/api/trials`: what is played."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any
from weakref import WeakKeyDictionary

import msgspec

from phantomlink.engine.open_recording import OpenRecording
from phantomlink.engine.session import Session
from phantomlink.errors import InvalidParameterError
from phantomlink.recordings.contents import SeriesInfo
from phantomlink.recordings.recording import Recording
from phantomlink.recordings.trials import Trial as RecordedTrial
from phantomlink.recordings.trials import TrialTable
from phantomlink.rest.records import Record, SessionCode, about, encode_json
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response, json_response
from phantomlink.rest.route import route
from phantomlink.rest.stream_metadata import Basics, UnitLabels, basics_of, unit_labels_of
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.service.service import Service

TAG = "recording"
TrialId = Annotated[int, about("row in the trial table", 5)]
TargetId = Annotated[int, about("index into a trial's own list of targets", 0)]
TrialsCount = Annotated[int, about("trials in this answer", 100)]


class OfRecording(Record, frozen=True):
    """Which recording."""

    session: Annotated[
        SessionCode | None, about("that plays it; without one, as a new session would")
    ] = None
    dataset: Annotated[
        str | None, about("name of the dataset; without it and a session, the default one")
    ] = None


class OfTrial(Record, frozen=True):
    """The trial in a path."""

    trial_id: TrialId


class OfTarget(Record, frozen=True):
    """The target in a path."""

    target_id: TargetId


class Series(Record, frozen=True):
    """A series of behaviour in the recording."""

    path: Annotated[
        str,
        about(
            "NWB path; two, joined by a comma, where each axis has a series",
            "processing/behavior/cursor_pos",
        ),
    ]
    neurodata_type: Annotated[str, about(example="SpatialSeries")]
    unit: Annotated[str, about("of the values that are sent; empty where none is known", "mm")]
    rate_hz: Annotated[float | None, about("samples a second inside a stretch", 1000.0)]
    rows: Annotated[int, about("samples", 287705)]
    columns: Annotated[int, about("numbers a sample", 2)]
    conversion: Annotated[float, about("factor that was applied to what is stored", 1.0)]
    offset: Annotated[float, about("added after the factor", 0.0)]
    derived: Annotated[bool, about("the values are the gradient of the series")]


class Behaviour(Record, frozen=True):
    """What was found; position gives x and y, velocity vx and vy."""

    position: Series | None
    velocity: Series | None
    found: Annotated[list[Series], about("every series, used or not")]


class Reach(Record, frozen=True):
    """A distinct place that trials aimed at."""

    reach_id: Annotated[int, about("in order of angle from +x, counter-clockwise", 0)]
    x: Annotated[float, about("in the recording's own unit", 116.0)]
    y: Annotated[float | None, about("the same; null on a 1-D track", -77.0)]
    num_trials: Annotated[int, about("trials that aimed there", 12)]


class Metadata(Basics, frozen=True):
    """The recording, and how it is played."""

    t0_seconds: Annotated[float, about("start of bin 0 on the recording's clock", 0.0)]
    last_event_seconds: Annotated[float, about("last event on the recording's clock", 293.666)]
    num_spikes: Annotated[int, about("of all units together", 131669)]
    unit_ids: Annotated[list[int], about("labels of the units, in the order of the columns")]
    unit_labels: UnitLabels
    behaviour: Behaviour
    target_ids: Annotated[list[int], about("the distinct target ids")]
    reaches: list[Reach]
    missing: Annotated[list[str], about("what was looked for and not found")]
    sha256: Annotated[str | None, about("of the file; null until it has been computed")]
    file_name: Annotated[str, about(example="mc_maze.nwb")]
    identifier: Annotated[str, about("of the file")]
    session_description: Annotated[str, about("of the recording session")]
    session_id: Annotated[str, about("of the recording session")]
    session_start_time: Annotated[str, about("of the recording session, as in the file")]
    subject: Annotated[str, about(example="Jenkins")]
    species: str
    lab: str
    institution: str
    keywords: list[str]
    nwb_version: Annotated[str, about(example="2.4.0")]


class Trial(Record, frozen=True):
    """A row of the trial table.

    These members, then every other column of the table (NaN as null).
    """

    trial_id: TrialId
    start_time: Annotated[float | None, about("s, recording clock", 14.9)]
    stop_time: Annotated[float | None, about("s, recording clock", 17.701)]
    target_id: Annotated[
        int | None, about("index into this trial's own list of targets; not a place", 0)
    ]
    target_x: Annotated[float | None, about("the recording's own unit", 133.0)]
    target_y: Annotated[float | None, about("the recording's own unit", -81.0)]
    reach_id: Annotated[int | None, about("place of the target, see Reach", 8)]


class Trials(Record, frozen=True):
    """Every trial."""

    trials: list[Trial]
    total_trials: Annotated[int, about("trials of the recording", 100)]
    count: TrialsCount


class TrialsOfTarget(Record, frozen=True):
    """The trials that aimed at one target."""

    trials: list[Trial]
    count: TrialsCount
    target_id: Annotated[int, about(example=0)]


@route("GET", "/api/metadata", TAG, errors=(404,))
async def metadata(request: Request, query: OfRecording) -> Metadata:
    """The recording, and how it is played."""
    async with playing(request, query) as (session, opened):
        return metadata_of(request.service, session, opened)


@asynccontextmanager
async def playing(
    request: Request, query: OfRecording
) -> AsyncIterator[tuple[Session | None, OpenRecording]]:
    """The session of a query, and the recording that it, or the query, names.

    Raises:
        InvalidParameterError: both are named.
        PhantomLinkError: there is no such session or dataset, or it cannot be opened.
    """
    if query.session is not None:
        if query.dataset is not None:
            raise InvalidParameterError("dataset: got it with session, takes one of them")
        session = request.session(query.session)
        yield session, session.open_recording
    elif query.dataset is None:
        yield None, request.service.open_recording
    else:
        async with request.service.datasets.using(query.dataset) as opened:
            yield None, opened


def metadata_of(service: Service, session: Session | None, opened: OpenRecording) -> Metadata:
    """The recording, and how a session plays it, or any."""
    return Metadata(
        **basics_of(service, session, opened.recording),
        **_contents_of(opened.recording),
        sha256=opened.sha256,
    )


def _contents_of(recording: Recording) -> dict[str, Any]:
    """What `Metadata` says of the recording itself, by name."""
    contents = _CONTENTS.get(recording)
    if contents is None:
        info, behaviour, trials = recording.info, recording.behaviour, recording.trials
        contents = _CONTENTS[recording] = {
            "t0_seconds": recording.t0_seconds,
            "last_event_seconds": recording.last_event_seconds,
            "num_spikes": recording.n_spikes,
            "unit_ids": list(recording.unit_ids),
            "unit_labels": unit_labels_of(recording),
            "behaviour": Behaviour(
                None if behaviour.position is None else _series(behaviour.position),
                None if behaviour.velocity is None else _series(behaviour.velocity),
                [_series(series) for series in behaviour.found],
            ),
            "target_ids": list(trials.target_ids),
            "reaches": [
                Reach(each.reach_id, each.x, each.y, each.n_trials) for each in trials.reaches
            ],
            "missing": list(recording.missing),
            "file_name": recording.path.name,
            **{name: said for name, said in asdict(info).items() if name != "is_synthetic"},
        }
    return contents


# A recording does not change: its trials are encoded once, not for every page load.
_CONTENTS: WeakKeyDictionary[Recording, dict[str, Any]] = WeakKeyDictionary()
_ENCODED: WeakKeyDictionary[TrialTable, bytes] = WeakKeyDictionary()


@route("GET", "/api/trials", TAG, answer=Trials, errors=(404,))
async def trials(request: Request, query: OfRecording) -> Response:
    """Every trial."""
    async with playing(request, query) as (session, opened):
        every = _trials_of(session, opened)
        body = _ENCODED.get(every)
        if body is None:
            counts = {"total_trials": len(every), "count": len(every)}
            body = await run_in_thread(_encoded_trials, every, counts)
            _ENCODED[every] = body
    return Response(body)


@route("GET", "/api/trials/{trial_id}", TAG, answer=Trial)
async def trial(request: Request, path: OfTrial, query: OfRecording) -> Response:
    """One trial."""
    async with playing(request, query) as (session, opened):
        return json_response(_trials_of(session, opened).by_id(path.trial_id).as_json())


@route("GET", "/api/trials/by-target/{target_id}", TAG, answer=TrialsOfTarget)
async def trials_by_target(request: Request, path: OfTarget, query: OfRecording) -> Response:
    """The trials that aimed at one target."""
    async with playing(request, query) as (session, opened):
        found = _trials_of(session, opened).by_target(path.target_id)
    counts = {"count": len(found), "target_id": path.target_id}
    return Response(await run_in_thread(_encoded_trials, found, counts))


def _trials_of(session: Session | None, opened: OpenRecording) -> TrialTable:
    """The trials as a session shows them: a blind one hides some."""
    return opened.recording.trials if session is None else session.bins.trials


def _encoded_trials(trials: Iterable[RecordedTrial], counts: dict[str, int]) -> bytes:
    """`{"trials": [...], ...counts}`; trial by trial, since the encoder never yields inside one.

    Called in a worker thread: thousands of trials take longer to write than a tick may wait.
    """
    listed: list[Any] = [msgspec.Raw(encode_json(trial.as_json())) for trial in trials]
    return encode_json({"trials": listed, **counts})


def _series(series: SeriesInfo) -> Series:
    members: dict[str, Any] = dict(series.as_json())
    return Series(**members)


ROUTES = (metadata, trials, trial, trials_by_target)
