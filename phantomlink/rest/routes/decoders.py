"""`/api/sessions/{code}/decoders`: who decodes a session, and how well."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from phantomlink import __version__
from phantomlink.engine.session import Session
from phantomlink.errors import InvalidParameterError, NotFoundError
from phantomlink.evaluation.training import trials_in_short
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.outputs.decoders.player import Player, Recalibration
from phantomlink.outputs.decoders.scores import SessionScores
from phantomlink.recordings.blind import hidden_trials
from phantomlink.rest.playheads import perturbation_of
from phantomlink.rest.records import Record, SessionCode, about
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import OfSession
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.scoring import Scoreboard, is_decoder_name
from phantomlink.scoring.report import (
    STYLE_SHA256,
    ScoredRun,
    csv_report,
    html_report,
    json_report,
    run_of,
)

TAG = "decoders"
_NAME_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
_REPORT_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}
DecoderName = Annotated[
    str, about("1 to 64 letters, digits, '-' or '_'", "kf-a", pattern=_NAME_PATTERN)
]
Figures = Annotated[
    dict[str, Any], about("n, coverage, and of velocity and position R2, r, RMSE, lag, ...")
]
MaybeNumber = Annotated[float | None, about("null: not measured")]


class DecoderNotFoundError(NotFoundError):
    """The session has no decoder of this name."""

    title = "No such decoder"


class OfDecoder(Record, frozen=True):
    """The decoder in a path."""

    code: Annotated[SessionCode, about("of the session")]
    name: Annotated[DecoderName, about("of the decoder")]


class Latency(Record, frozen=True):
    """From a packet leaving the scheduler to its answer, ms; of a model, how long a step took."""

    p50: MaybeNumber
    p99: MaybeNumber
    max: MaybeNumber


class DecoderState(Record, frozen=True):
    """A decoder in short."""

    decoder: DecoderName
    model: Annotated[str | None, about("id of the model; null: a client", "kalman-1f3a9c2e")]
    kind: Annotated[str, about("client, or that of the model", "client")]
    connected: bool
    coverage: Annotated[float | None, about("answered / closed")]
    closed: Annotated[int, about("packets that were sent while it was connected, 2 s ago or more")]
    answered: Annotated[int, about("of those")]
    late: Annotated[int, about("answers after more than a period; scored")]
    out_of_order: Annotated[int, about("answers after that to a later packet; scored")]
    duplicate: Annotated[int, about("further answers to a packet; not scored")]
    unknown: Annotated[int, about("answers to packets never sent here, or closed")]
    non_finite: Annotated[int, about("answers with NaN or infinity; not scored")]
    latency_ms: Latency
    speed: Annotated[float, about("times faster than recorded, at which latency was measured")]
    last_10_s: Figures


class Decoders(Record, frozen=True):
    """The decoders of a session."""

    session_code: SessionCode
    decoders: list[DecoderState]
    messages: Annotated[
        dict[str, int], about("what clients sent, by outcome", {"scored": 400, "malformed": 1})
    ]


class ScoreQuery(Record, frozen=True):
    """Which bins are scored."""

    window: Annotated[
        Literal["trials", "movement"],
        about("bins in trials, or -250 to +450 ms around the onset of movement"),
    ] = "trials"


class Score(Record, frozen=True):
    """All figures of a decoder in one window."""

    decoder: DecoderName
    window: str
    coverage: Annotated[float | None, about("answered / closed")]
    closed: int
    answered_packets: int
    answered: Annotated[
        dict[str, Any], about("over answered packets: whole, last_10_s, trials, reaches")
    ]
    held: Annotated[dict[str, Any], about("the same, the last answer standing where there is none")]


class PutDecoder(Record, frozen=True):
    """Which model, and how it goes on learning."""

    model: Annotated[str, about("its id", "kalman-1f3a9c2e")]
    recalibrate: Annotated[
        Any,
        about(
            'how it goes on learning: {"every": trials, "last": trials} fits it again after so '
            'many trials to the last ones, "rls" is recursive least squares, null as its kind does',
            {"every": 10, "last": 30},
            type=["object", "string", "null"],
        ),
    ] = None


class DecoderChanged(Record, frozen=True):
    """What was done."""

    status: Literal["playing", "removed", "reset"]
    session_code: SessionCode
    decoder: DecoderName


class Report(Record, frozen=True):
    """Scores and comparisons, as `phantomlink score --report` writes them."""

    form: Annotated[str, about("of this document", "phantomlink scores 1")]
    about: Annotated[dict[str, Any], about("what was played")]
    runs: Annotated[
        list[dict[str, Any]],
        about("one, or none where nobody has answered: about, decoders, comparison"),
    ]


class ReportQuery(Record, frozen=True):
    """The form of a report."""

    format: Literal["json", "html", "csv"] = "json"
    timing: Annotated[Literal["0", "1"], about("1 adds latencies, which differ in each run")] = "0"
    seed: Annotated[int, msgspec.Meta(ge=0), about("of the comparison's resampling", 0)] = 0


@route("GET", "/api/sessions/{code}/decoders", TAG, errors=(409,))
async def list_all(request: Request, path: OfSession) -> Decoders:
    """List the decoders of a session: clients that answer, and models that play along."""
    session = request.session(path.code)
    scores = scores_in(session)
    board = await scores.settle()
    states = [] if board is None else [_state(session, scores, board, n) for n in board.names]
    return Decoders(session.code, states, dict(scores.counters))


@route("GET", "/api/sessions/{code}/decoders/{name}", TAG, errors=(409,))
async def show(request: Request, path: OfDecoder) -> DecoderState:
    """One decoder of a session in short."""
    session = request.session(path.code)
    scores, board = await _with_decoder(session, path.name)
    return _state(session, scores, board, path.name)


@route("GET", "/api/sessions/{code}/decoders/{name}/score", TAG, errors=(409,))
async def score(request: Request, path: OfDecoder, query: ScoreQuery) -> Score:
    """All scores of a decoder in one window.

    R2 is 1 - squared errors of both axes / squared deviations from the mean of both, over all
    packets of the window. A figure that is not defined is null.
    """
    _, board = await _with_decoder(request.session(path.code), path.name)
    figures = board.figures(path.name, query.window)
    return Score(
        path.name,
        query.window,
        figures["coverage"],
        figures["closed"],
        board.decoder(path.name).counters.answered,
        figures["answered"],
        figures["held"],
    )


@route("DELETE", "/api/sessions/{code}/decoders/{name}/score", TAG, errors=(409,))
async def reset(request: Request, path: OfDecoder) -> DecoderChanged:
    """Begin a new run of a decoder, with the next packet."""
    scores, _ = await _with_decoder(request.session(path.code), path.name)
    await scores.reset(path.name)
    return DecoderChanged("reset", path.code, path.name)


@route("PUT", "/api/sessions/{code}/decoders/{name}", TAG, errors=(409,))
async def put(request: Request, path: OfDecoder, given: PutDecoder) -> DecoderChanged:
    """Let a model play along under this name.

    It predicts the packets of the unfiltered playhead while somebody listens to them, and is scored
    as a client is; trials that it was fitted to are not. In the place of a built-in decoder of
    the same name it begins a new run. 409 where a client has the name.
    """
    session = request.session(path.code)
    if not is_decoder_name(path.name):
        raise InvalidParameterError(
            f"name: got {path.name!r}, takes 1 to 64 letters, digits, '-' or '_'"
        )
    store = (await request.service.calibrator.get()).store
    await run_in_thread(store.look_for, given.model)
    model = store.ready(given.model)
    model.check(session.bins.unit_ids, session.grid.bin_size_ms)
    scores_in(session).put(Player(path.name, given.model, model, _recalibration(given.recalibrate)))
    return DecoderChanged("playing", path.code, path.name)


@route("DELETE", "/api/sessions/{code}/decoders/{name}", TAG, errors=(409,))
async def delete(request: Request, path: OfDecoder) -> DecoderChanged:
    """Forget a decoder and its score; a model stops playing along."""
    session = request.session(path.code)
    scores, _ = await _with_decoder(session, path.name)
    await scores.take_off(path.name)
    return DecoderChanged("removed", path.code, path.name)


@route(
    "GET",
    "/api/sessions/{code}/report",
    TAG,
    errors=(409,),
    answer=Report,
    media_types=tuple(media.partition(";")[0] for media in _REPORT_TYPES.values()),
)
async def report(request: Request, path: OfSession, query: ReportQuery) -> Response:
    """Compare the decoders of a session: scores, paired differences, plots.

    Each two decoders are compared trial by trial on the packets that both answered. The same
    predictions and seed give the same bytes, unless timing is asked for.
    """
    session = request.session(path.code)
    about_session = _about(session)
    run = await scores_in(session).read(
        lambda board: run_of(
            board, about_session, compare_seed=query.seed, with_timing=query.timing == "1"
        )
    )
    runs = [] if run is None else [run]
    write = partial(_written, query.format, runs, about_session, session.grid.bin_size_ms / 1000)
    text = await run_in_thread(write)
    headers = (
        ("Content-Disposition", f'attachment; filename="scores.{query.format}"'),
        (
            "Content-Security-Policy",
            f"sandbox; default-src 'none'; style-src '{STYLE_SHA256}'",
        ),
    )
    return Response(text.encode(), content_type=_REPORT_TYPES[query.format], headers=headers)


def scores_in(session: Session) -> SessionScores:
    """The scores of a session.

    Raises:
        NotFoundError: the server keeps none.
    """
    scores = scores_of(session)
    if scores is None:
        raise NotFoundError("this server keeps no scores")
    return scores


async def _with_decoder(session: Session, name: str) -> tuple[SessionScores, Scoreboard]:
    scores = scores_in(session)
    board = await scores.settle()
    if board is None or name not in board.names:
        known = ", ".join(board.names) if board is not None and board.names else "none"
        raise DecoderNotFoundError(f"no decoder {name!r}; the session has {known}")
    return scores, board


def _state(session: Session, scores: SessionScores, board: Scoreboard, name: str) -> DecoderState:
    summary = board.summary(name)
    player = scores.players.get(name)
    latency = Latency(**summary.pop("latency_ms"))
    return DecoderState(
        **summary,
        latency_ms=latency,
        model=None if player is None else player.model_id,
        kind="client" if player is None else player.kind,
        speed=float(session.speed),
    )


def _recalibration(asked: Any) -> Recalibration | None:
    if asked is None:
        return None
    if asked == "rls":
        return Recalibration()
    if isinstance(asked, dict) and set(asked) == {"every", "last"}:
        every, last = asked["every"], asked["last"]
        if all(isinstance(n, int) and 1 <= n <= 1000 for n in (every, last)):
            return Recalibration(every, last)
    raise InvalidParameterError(
        f'recalibrate: got {json.dumps(asked)[:80]}, takes "rls" or '
        '{"every": trials, "last": trials} with 1 to 1000 of each'
    )


def _about(session: Session) -> dict[str, Any]:
    """What was played; nothing that differs between two runs of the same."""
    recording, grid = session.recording, session.grid
    said, hidden = perturbation_of(session), hidden_trials(session.bins)
    return {
        "session": session.code,
        "dataset": recording.dataset,
        "sha256": session.open_recording.sha256,
        "units": len(session.bins.unit_ids),
        "bin_size_ms": grid.bin_size_ms,
        "perturbation": said["perturbation"],
        "seed": said["seed"],
        "blind_test_trials": trials_in_short(sorted(hidden)) if hidden else None,
        "truth_within_reach": (
            "not in this session: other sessions, and the file, have it"
            if hidden
            else "yes: packets have the kinematics"
        ),
        "phantomlink": __version__,
    }


def _written(
    form: str, runs: list[ScoredRun], about_session: dict[str, Any], bin_seconds: float
) -> str:
    if form == "csv":
        return csv_report(runs)
    if form == "html":
        return html_report(runs, about_session, bin_seconds)
    return json_report(runs, about_session)


ROUTES = (list_all, show, score, reset, put, delete, report)
