"""`/stream`: what a WebSocket sends, and what is answered to those who ask for it without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from phantomlink.errors import UpgradeRequiredError
from phantomlink.rest.playheads import WantedTrials
from phantomlink.rest.records import Record, SessionCode, about
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import Handler, Route, route
from phantomlink.rest.routes.sessions import OfSession
from phantomlink.rest.stream_metadata import StreamMetadata

TAG = "streams"


class PacketsQuery(WantedTrials, frozen=True):
    """Which packets, and what comes with them."""

    scores: Annotated[
        Literal["0", "1"] | None, about("1: a message with scores after each trial")
    ] = None
    decoded: Annotated[
        Literal["0", "1"] | None,
        about("1: packets say what built-in decoders make of them; without a filter"),
    ] = None
    hide: Annotated[
        str | None,
        about("null there; without a filter", "kinematics,intention,trial"),
    ] = None
    dataset: Annotated[
        str | None, about("that a new session plays; 409 when the session plays another")
    ] = None


class BinaryStreamQuery(PacketsQuery, frozen=True):
    """Which packets, in which form."""

    format: Annotated[Literal["msgpack", "compact"] | None, about("form of the messages")] = None


class StreamQuery(PacketsQuery, frozen=True):
    """Which packets, in which form."""

    format: Annotated[
        Literal["msgpack", "json", "compact"] | None, about("form of the messages")
    ] = None


class Spikes(Record, frozen=True):
    """Spikes of one bin."""

    channel_ids: Annotated[list[int], about("columns of spike_counts: 0 to num_channels - 1")]
    spike_counts: Annotated[list[int], about("spikes of each unit in this bin")]
    bin_size_ms: Annotated[float, about(example=25.0)]


class Kinematics(Record, frozen=True):
    """The recording's own units; null where it has none."""

    vx: float | None
    vy: float | None
    x: float | None
    y: float | None


class Intention(Record, frozen=True):
    """Null outside trials."""

    target_id: int | None
    target_x: float | None
    target_y: float | None
    distance_to_target: float | None
    reach_id: int | None


class DecodedVelocity(Record, frozen=True):
    """What a built-in decoder makes of a packet; null where it has said nothing in time."""

    vx: float | None
    vy: float | None


class Packet(Record, frozen=True):
    """One packet."""

    packet_id: Annotated[int, about("bin index in the recording", 1234)]
    sequence_number: Annotated[
        int,
        about("+1 for every packet of this playback; a jump means that this client lost some", 87),
    ]
    timestamp: Annotated[float, about("Unix s, when the packet left the scheduler", 1767225600.025)]
    spikes: Spikes
    kinematics: Kinematics
    intention: Intention
    trial_id: Annotated[int | None, about("row in the trial table; null outside trials", 5)]
    trial_time_ms: Annotated[float | None, about("since the start of that trial", 412.5)]
    loop: Annotated[int, about("times the playhead has wrapped", 0)]
    observed: Annotated[
        bool | msgspec.UnsetType,
        about("false when nothing of the bin's time was observed; else not there"),
    ] = msgspec.UNSET
    perturbation_id: Annotated[
        str | msgspec.UnsetType,
        about(
            "of what was done to the counts; not there when they are the recording's own",
            "3f9a1c2b4d5e",
        ),
    ] = msgspec.UNSET
    decoded: Annotated[
        dict[str, DecodedVelocity] | msgspec.UnsetType,
        about("of each built-in decoder, by name; only there with `decoded=1`"),
    ] = msgspec.UNSET


class DataMessage(Record, frozen=True):
    """Every WebSocket message but the first."""

    type: Literal["data"]
    data: Packet


class StreamOf(Record, frozen=True):
    """Which stream it is."""

    code: SessionCode
    url: Annotated[str, about("of the stream")]


if TYPE_CHECKING:
    StreamMetadataAndPacket = StreamMetadata
else:
    StreamMetadataAndPacket = msgspec.defstruct(
        "StreamMetadataAndPacket",
        [
            (field.name, field.type, *(() if field.required else (field.default,)))
            for field in msgspec.structs.fields(Packet)
        ],
        bases=(StreamMetadata,),
        frozen=True,
    )


class MetadataMessage(Record, frozen=True):
    """The first WebSocket message."""

    type: Literal["metadata"]
    data: Annotated[
        StreamMetadataAndPacket,
        about("the stream, and a snapshot of the packet at the playhead"),
    ]
    session: StreamOf


MESSAGES = (MetadataMessage, DataMessage)


def _stream(path: str) -> Callable[[Handler], Route]:
    return route("GET", path, TAG, status=101, errors=(403, 426))


@_stream("/stream/{code}")
async def stream(request: Request, path: OfSession, query: StreamQuery) -> Response:
    """Listen to a session.

    A WebSocket upgrade. MetadataMessage, then DataMessage for every packet.
    """
    raise _upgrade_required(request)


@_stream("/stream/binary/{code}")
async def binary_stream(request: Request, path: OfSession, query: BinaryStreamQuery) -> Response:
    """Listen to a session, in MessagePack.

    A WebSocket upgrade. MetadataMessage, then DataMessage for every packet.
    """
    raise _upgrade_required(request)


def _upgrade_required(request: Request) -> UpgradeRequiredError:
    return UpgradeRequiredError(
        f"{request.head.path} is a WebSocket: connect with ws://, not http://"
    )


ROUTES = (stream, binary_stream)
