"""What a stream is: the `data` of a WebSocket's first message, without the snapshot of a packet."""

from __future__ import annotations

from typing import Annotated, Any

from phantomlink import __version__
from phantomlink.engine.session import REAL_TIME, Session
from phantomlink.perturbation import Perturbation
from phantomlink.recordings.contents import SeriesInfo
from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.recording import Recording
from phantomlink.rest.records import PerturbationJson, Record, Seed, about, number
from phantomlink.service.service import Service

UnitLabels = Annotated[
    list[str] | None, about("ids of the file, where unit_ids are rows; else null")
]


class Basics(Record, frozen=True):
    """What every description of the recording begins with."""

    dataset: Annotated[str, about("name of the file, without .nwb", "mc_maze")]
    num_channels: Annotated[int, about("units, which are columns of spike_counts", 142)]
    duration_seconds: Annotated[float, about("length of all bins together", 293.675)]
    total_packets: Annotated[int, about("bins of the recording", 11747)]
    frequency_hz: Annotated[float, about("packets a second", 40)]
    bin_size_ms: Annotated[float, about("width of a bin", 25.0)]
    speed: Annotated[float, about("times faster than recorded", 1.0)]
    num_trials: Annotated[int, about(example=100)]
    is_synthetic: Annotated[bool, about("made by a program, and the file says so")]
    perturbation: PerturbationJson
    seed: Seed


class KinematicsUnits(Record, frozen=True):
    """Null where there is none."""

    vx: str | None
    vy: str | None
    x: str | None
    y: str | None


class StreamMetadata(Basics, frozen=True):
    """The stream, and a snapshot of the packet at the playhead."""

    channel_count: Annotated[int, about("as num_channels", 142)]
    channel_ids: Annotated[list[int], about("columns of spike_counts")]
    unit_ids: Annotated[list[int], about("labels of the units behind them")]
    unit_labels: UnitLabels
    kinematics_units: KinematicsUnits
    t0_seconds: Annotated[float, about("start of bin 0 on the recording's clock", 0.0)]
    is_paused: Annotated[bool, about("no packets come until somebody resumes")]
    server_version: Annotated[str, about(example="0.1.0")]


def stream_metadata(service: Service, session: Session) -> StreamMetadata:
    """What a session streams. No name here is one of a packet's.

    Raises:
        UnavailableError: no recording is open.
    """
    recording, header = session.recording, session.parts.encoders.header
    place = _unit(recording.behaviour.position)
    velocity = _unit(recording.behaviour.velocity)
    return StreamMetadata(
        **basics_of(service, session),
        channel_count=header.n_channels,
        channel_ids=header.channel_ids,
        unit_ids=list(recording.unit_ids),
        unit_labels=unit_labels_of(recording),
        kinematics_units=KinematicsUnits(velocity, velocity, place, place),
        t0_seconds=recording.t0_seconds,
        is_paused=session.is_paused,
        server_version=__version__,
    )


def basics_of(
    service: Service, session: Session | None, recording: Recording | None = None
) -> dict[str, Any]:
    """The members of `Basics`, by name; of a new session of a recording where there is none.

    Raises:
        UnavailableError: no recording is open.
    """
    if session is not None:
        recording = session.recording
    elif recording is None:
        recording = service.recording
    if session is None:
        rate_hz, speed = service.rate_hz, REAL_TIME
        grid = BinGrid.covering(recording.t0_seconds, recording.last_event_seconds, rate_hz)
        done: Perturbation | None = service.registry.perturbation
        seed = service.registry.seed
    else:
        grid, rate_hz, speed = session.grid, session.rate_hz, session.speed
        done = None if session.applied is None else session.applied.perturbation
        seed = session.seed
    return {
        "dataset": recording.dataset,
        "num_channels": len(recording.unit_ids),
        "duration_seconds": grid.duration_seconds,
        "total_packets": grid.n_bins,
        "frequency_hz": number(rate_hz),
        "bin_size_ms": grid.bin_size_ms,
        "speed": number(speed),
        "num_trials": len(recording.trials),
        "is_synthetic": recording.info.is_synthetic,
        "perturbation": None if done is None or done.is_identity else done.as_json(),
        "seed": seed,
    }


def unit_labels_of(recording: Recording) -> list[str] | None:
    """The file's own ids of the units; None where they are the `unit_ids`."""
    labels = recording.units.labels
    return None if labels is None else list(labels)


def _unit(series: SeriesInfo | None) -> str | None:
    return None if series is None else series.unit or None
