"""`/api/sessions/{code}/perturbation` and `/digest`: what is done to packets, and proof of it."""

from __future__ import annotations

from typing import Annotated, Literal

from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import PRESETS
from phantomlink.rest.figures import DatasetName
from phantomlink.rest.playheads import PlayedFilter, WantedTrials, filter_of, perturbation_of
from phantomlink.rest.records import (
    PerturbationId,
    PerturbationJson,
    Perturbed,
    Record,
    Seed,
    SessionCode,
    about,
)
from phantomlink.rest.request import Request
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import OfSession

TAG = "perturbation"
PATH = "/api/sessions/{code}/perturbation"


class PutPerturbation(Record, frozen=True):
    """What is to be done to packets."""

    perturbation: PerturbationJson
    seed: Seed | None = None


class SessionPerturbation(Record, frozen=True):
    """What is done to a session's packets."""

    session_code: SessionCode
    perturbation: Perturbed
    perturbation_id: PerturbationId
    seed: Seed


class PerturbationChanged(Record, frozen=True):
    """What is done to a session's packets now, and from which on."""

    status: Literal["perturbed", "clean"]
    packet_id: Annotated[int, about("the first one that the unfiltered playhead sends so", 1000)]
    session_code: SessionCode
    perturbation: Perturbed
    perturbation_id: PerturbationId
    seed: Seed


class DigestQuery(WantedTrials, frozen=True):
    """Of which packets."""

    start: Annotated[int, about("first packet_id", minimum=0)] = 0
    stop: Annotated[
        Annotated[int, about(minimum=0)] | None,
        about("the packet_id after the last one; the end"),
    ] = None
    loop: Annotated[int, about("of the playhead", minimum=0)] = 0


class Digest(Record, frozen=True):
    """Of what packets say, as RFC 8785 writes it."""

    session_code: SessionCode
    dataset: DatasetName
    perturbation: Perturbed
    perturbation_id: PerturbationId
    seed: Seed
    start: Annotated[int, about("first packet_id", 0)]
    stop: Annotated[int, about("the packet_id after the last one", 11747)]
    loop: Annotated[int, about("of the playhead", 0)]
    filter: PlayedFilter
    num_packets: Annotated[int, about("that it is of", 11747)]
    sha256: Annotated[str, about("hexadecimal digits", pattern="^[0-9a-f]{64}$")]


@route("GET", PATH, TAG)
async def show(request: Request, path: OfSession) -> SessionPerturbation:
    """What is done to a session's packets."""
    session = request.session(path.code)
    return SessionPerturbation(session.code, **perturbation_of(session))


@route(
    "PUT",
    PATH,
    TAG,
    body_examples={
        "a preset": {"perturbation": "moderate"},
        "noise alone": {
            "perturbation": {"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]},
            "seed": 7,
        },
    },
)
async def put(request: Request, path: OfSession, given: PutPerturbation) -> PerturbationChanged:
    """Perturb a session's packets from the next one on.

    Position and deadlines stay as they are. Listeners get the metadata message again. Kinematics
    and intention are never perturbed.
    """
    session = request.session(path.code)
    packet_id = await request.service.sessions.set_perturbation(
        session, given.perturbation, given.seed
    )
    return perturbation_changed(session, packet_id)


class Presets(Record, frozen=True):
    """Perturbations by name."""

    presets: Annotated[
        dict[str, PerturbationJson], about("from the lightest to the worst, then scripts")
    ]


@route("GET", "/api/perturbations/presets", TAG)
async def presets(request: Request) -> Presets:
    """Perturbations that have names."""
    return Presets({name: each.as_json() for name, each in PRESETS.items()})


@route("DELETE", PATH, TAG)
async def clear(request: Request, path: OfSession) -> PerturbationChanged:
    """Send the recording's own counts from the next packet on.

    The seed stays, for the next perturbation.
    """
    session = request.session(path.code)
    return perturbation_changed(session, session.set_perturbation(NO_PERTURBATION))


@route("GET", "/api/sessions/{code}/digest", TAG)
async def digest(request: Request, path: OfSession, query: DigestQuery) -> Digest:
    """SHA-256 of what a session's packets say, sent or not.

    Of each packet in order: its `data` without `timestamp` and `sequence_number` as canonical JSON
    (RFC 8785), and a newline. Under the perturbation and the seed that the session has now; with a
    filter, of the packets of that playhead. At most 65536 packets.
    """
    session = request.session(path.code)
    stop = session.grid.n_bins if query.stop is None else query.stop
    wanted = query.filter
    # What it is of: this may change while it is computed.
    perturbation = perturbation_of(session)
    sha256, num_packets = await request.service.sessions.digest(
        session, wanted, start=query.start, stop=stop, loop=query.loop
    )
    return Digest(
        session_code=session.code,
        dataset=session.recording.dataset,
        **perturbation,
        start=query.start,
        stop=stop,
        loop=query.loop,
        filter=filter_of(wanted),
        num_packets=num_packets,
        sha256=sha256,
    )


def perturbation_changed(session: Session, packet_id: int) -> PerturbationChanged:
    """What there is now, from this packet on."""
    return PerturbationChanged(
        "perturbed" if session.applied else "clean",
        packet_id,
        session.code,
        **perturbation_of(session),
    )


ROUTES = (show, put, clear, digest, presets)
