"""`/api/captures`: keep what a session sends, and have it as a file."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal

import msgspec

from phantomlink.outputs.capture.infos import CaptureInfo
from phantomlink.recordings.trials import Filter
from phantomlink.rest.files import file_response
from phantomlink.rest.records import Moment, Record, SessionCode, about
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response, json_response
from phantomlink.rest.route import route

TAG = "captures"
_TYPES = {
    "journal": "application/vnd.phantomlink.journal",
    "nwb": "application/x-hdf5",
    "xdf": "application/x-xdf",
    "recipe": "application/vnd.phantomlink.recipe+json",
}
_ENDINGS = {"journal": "plj", "nwb": "nwb", "xdf": "xdf", "recipe": "recipe.json"}
_RETRY_AFTER_SECONDS = 1
_ID = "20260101T120000Z-swift-neural-42-abcd"


class StartCapture(Record, frozen=True):
    """What is to be captured."""

    session: Annotated[SessionCode, about("of the session")]
    trial_id: Annotated[int | None, about("of the playhead's filter")] = None
    target_id: Annotated[int | None, about("of the playhead's filter")] = None
    reach_id: Annotated[int | None, about("of the playhead's filter")] = None
    title: Annotated[str, msgspec.Meta(max_length=200), about("for people")] = ""
    max_seconds: Annotated[
        Annotated[float, msgspec.Meta(gt=0)] | None, about("for how long; null: until stopped")
    ] = None
    keeps_playing: Annotated[bool, about("whether the session plays though nobody listens")] = False


class OfCapture(Record, frozen=True):
    """The capture in a path."""

    id: Annotated[str, about("of the capture", _ID)]


class CaptureState(Record, frozen=True):
    """A capture, running or finished."""

    id: Annotated[str, about("its name", _ID)]
    title: str
    session: Annotated[str, about("its code; empty of a private one")]
    dataset: Annotated[str, about("that was played")]
    sha256: Annotated[str | None, about("of the dataset's file; null while it is not known")]
    state: Annotated[str, about(enum=["running", "complete", "torn", "recovered"])]
    reason: Annotated[str, about("why it ended, or is not whole; empty while it runs")]
    started_at: Moment
    seconds: Annotated[float, about("that it ran")]
    packets: Annotated[int, about("that it holds")]
    lost_packets: Annotated[int, about("that it does not hold: the disk was too slow")]
    bytes: Annotated[int, about("of its records")]
    first_packet_id: int | None
    last_packet_id: int | None
    digest: Annotated[
        str | None,
        about("SHA-256 over the canonical payloads, in order; null while that is not known"),
    ]
    recipe: Annotated[
        dict[str, Any] | None,
        about("by which its packets can be computed anew; null while that is not known, or none"),
    ]
    recipe_reason: Annotated[str, about("why there is no recipe; empty where there is one")]
    problems: Annotated[dict[str, str], about("why formats are missing, by format")]
    formats: Annotated[
        list[Annotated[str, about(enum=list(_TYPES))]], about("that its file can be had in")
    ]


class CaptureList(Record, frozen=True):
    """Captures, the latest first."""

    captures: Annotated[list[CaptureState], about("without those of private sessions")]
    total_captures: int


class CaptureRemoved(Record, frozen=True):
    """A capture is gone."""

    status: Annotated[str, about(enum=["deleted"])]
    id: str


class FileQuery(Record, frozen=True):
    """In which form."""

    format: Annotated[
        Literal["journal", "nwb", "xdf", "recipe"],
        about("of the file; xdf is made when it is first asked for"),
    ] = "journal"


@route(
    "POST",
    "/api/captures",
    TAG,
    answer=CaptureState,
    status=201,
    costly="captures",
    errors=(404, 409, 507),
)
async def start(request: Request, body: StartCapture) -> Response:
    """Capture what a session sends, from now on.

    A capture keeps every packet of one playhead, what steered it and what was done to it on
    purpose, in a file that `phantomlink verify` compares with the dataset. It is no listener: the
    playhead advances by its own, unless it `keeps_playing`. The session is not evicted meanwhile;
    its end ends the capture. A finished one becomes an NWB file, which is a dataset.
    """
    service = request.service
    wanted = Filter(body.trial_id, body.target_id, body.reach_id)
    session = request.session(body.session)
    seconds = math.inf if body.max_seconds is None else body.max_seconds
    captures = await service.captures.get()
    started = await captures.start(
        session, wanted, body.title, seconds, keeps_playing=body.keeps_playing
    )
    location = (("Location", f"/api/captures/{started.id}"),)
    return replace(json_response(_state(started)), status=201).with_headers(location)


@route("POST", "/api/captures/{id}/stop", TAG, costly="captures")
async def stop(request: Request, path: OfCapture) -> CaptureState:
    """End a capture; twice is fine."""
    captures = await request.service.captures.get()
    return _state(await captures.stop(path.id))


@route("GET", "/api/captures", TAG)
async def list_all(request: Request) -> CaptureList:
    """List the captures."""
    found = [_state(info) for info in await request.service.captures.get()]
    return CaptureList(found, len(found))


@route("GET", "/api/captures/{id}", TAG)
async def show(request: Request, path: OfCapture) -> CaptureState:
    """One capture."""
    captures = await request.service.captures.get()
    return _state(captures.get(path.id))


@route(
    "GET",
    "/api/captures/{id}/file",
    TAG,
    media_types=tuple(_TYPES.values()),
    pending=CaptureState,
    errors=(409, 416),
)
async def file(request: Request, path: OfCapture, query: FileQuery) -> Response:
    """The file of a finished capture, or a range of it; 202 while it is being made."""
    captures, form = await request.service.captures.get(), query.format
    where = await captures.file(path.id, form)
    if where is None:
        headers = (
            ("Location", f"/api/captures/{path.id}/file?format={form}"),
            ("Retry-After", str(_RETRY_AFTER_SECONDS)),
        )
        pending = replace(json_response(_state(captures.get(path.id))), status=202)
        return pending.with_headers(headers)
    response = await file_response(request.head, where, _TYPES[form])
    name = f'attachment; filename="{path.id}.{_ENDINGS[form]}"'
    return response.with_headers((("Content-Disposition", name),))


@route("DELETE", "/api/captures/{id}", TAG, errors=(409,), costly="captures")
async def delete(request: Request, path: OfCapture) -> CaptureRemoved:
    """Stop a capture and remove its files."""
    captures = await request.service.captures.get()
    await captures.delete(path.id)
    return CaptureRemoved("deleted", path.id)


def _state(info: CaptureInfo) -> CaptureState:
    said = {
        name: getattr(info, name)
        for name in CaptureInfo.__dataclass_fields__.keys() & set(CaptureState.__struct_fields__)
    }
    said["problems"] = info.failed
    return CaptureState(**said, recipe_reason=info.no_recipe, formats=list(info.forms))


ROUTES = (start, stop, list_all, show, file, delete)
