"""`/api/models`, and `/calibrate` of a session: fitted decoders."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

from phantomlink.calibration.calibrator import Calibration
from phantomlink.calibration.store import StoredModel
from phantomlink.decoding import DECODERS, FitOptions, split_trials
from phantomlink.decoding.fitting import check_size
from phantomlink.errors import InvalidParameterError
from phantomlink.evaluation.training import trials_in_short
from phantomlink.recordings.blind import hidden_trials
from phantomlink.recordings.options import option_names
from phantomlink.rest.files import file_response
from phantomlink.rest.records import Moment, Record, about, encode_json, iso
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import route
from phantomlink.rest.routes.sessions import OfSession

TAG = "decoders"
_NPZ = "application/vnd.numpy.npz"
_DEFAULT_SHARE = 0.75
ModelId = Annotated[str, about("of the model", "kalman-1f3a9c2e")]


class OfModel(Record, frozen=True):
    """The model in a path."""

    model_id: ModelId


class Split(Record, frozen=True):
    """How many trials are trained on; the others can be scored."""

    train: Annotated[float, about("share of the trials", _DEFAULT_SHARE)] = _DEFAULT_SHARE


class Calibrate(Record, frozen=True):
    """What to fit."""

    decoder: Annotated[str, about("kind of decoder", "kalman", enum=list(DECODERS))]
    trials: Annotated[list[int] | None, about("those to train on; null: a split", [0, 1, 2, 3])] = (
        None
    )
    split: Split | None = None
    window: Annotated[Literal["trials", "movement"], about("bins to fit to")] = "trials"
    seed: Annotated[
        Annotated[int, msgspec.Meta(ge=0)] | None, about("of the split; null: the session's", 7)
    ] = None


class Calibrating(Record, frozen=True):
    """A model is being fitted; ask `/api/models/{model_id}`."""

    model_id: ModelId


class ModelState(Record, frozen=True):
    """A model."""

    model_id: ModelId
    state: Literal["fitting", "ready", "failed"]
    reason: Annotated[str | None, about("why it failed")]
    decoder: Annotated[str, about("kind of decoder", "kalman")]
    created_at: Moment
    units: Annotated[int | None, about("whose counts it takes", 142)]
    bin_size_ms: Annotated[float | None, about("that it was fitted to", 25.0)]
    training_trials: Annotated[str | None, about("that it has seen", "0-49,60")]
    validation: Annotated[
        dict[str, Any], about("cross-validated R2 of velocity, by fold and pooled, and chance")
    ]
    provenance: Annotated[dict[str, Any], about("recording, perturbation, seed, window, versions")]


class Models(Record, frozen=True):
    """The models that the server keeps, oldest first."""

    models: list[ModelState]


class ModelDeleted(Record, frozen=True):
    """What was done."""

    status: Literal["deleted"]
    model_id: ModelId


@route(
    "POST",
    "/api/sessions/{code}/calibrate",
    TAG,
    status=202,
    costly="fits of decoders",
    errors=(409, 429),
    answer=Calibrating,
    body_examples={"a Kalman filter": {"decoder": "kalman", "split": {"train": 0.75}}},
)
async def calibrate(request: Request, path: OfSession, body: Calibrate) -> Response:
    """Fit a decoder to the recording, as this session's perturbation and seed change it.

    In one process of its own, which gives way to the server: 429 while another is fitted; within
    60 s and 1 GiB. Ask for the model until its state is not `fitting`.
    """
    session = request.session(path.code)
    check_size(body.decoder, len(session.bins.unit_ids), FitOptions())
    seed = session.seed if body.seed is None else body.seed
    trials = _trials(body, len(session.bins.trials), seed, hidden_trials(session.bins))
    applied = session.applied
    settings = request.service.settings
    environment = {
        f"PHANTOM_{name.upper()}": str(value)
        for name in option_names()
        if (value := getattr(settings, name)) is not None
    }
    calibrator = await request.service.calibrator.get()
    model_id = calibrator.start(
        Calibration(
            recording=session.recording.path,
            rate_hz=session.grid.rate_hz,
            environment=environment,
            kind=body.decoder,
            perturbation=None if applied is None else applied.perturbation.as_json(),
            seed=session.seed,
            train=trials_in_short(trials),
            window=body.window,
        )
    )
    location = (("Location", f"/api/models/{model_id}"),)
    return Response(encode_json(Calibrating(model_id)), 202, headers=location)


@route("GET", "/api/models", TAG)
async def list_all(request: Request) -> Models:
    """List the models that the server keeps, over restarts too."""
    store = (await request.service.calibrator.get()).store
    return Models([_state(stored) for stored in store.all()])


@route("GET", "/api/models/{model_id}", TAG)
async def show(request: Request, path: OfModel) -> ModelState:
    """One model: how far it is, what it was fitted to, how good it is."""
    store = (await request.service.calibrator.get()).store
    return _state(store.get(path.model_id))


@route("DELETE", "/api/models/{model_id}", TAG, errors=(409,))
async def delete(request: Request, path: OfModel) -> ModelDeleted:
    """Delete a model; 409 while it is fitted or plays along in a session."""
    calibrator = await request.service.calibrator.get()
    calibrator.store.delete(path.model_id, calibrator.in_use())
    return ModelDeleted("deleted", path.model_id)


@route("GET", "/api/models/{model_id}/file", TAG, media_types=(_NPZ,))
async def file(request: Request, path: OfModel) -> Response:
    """The model as an npz file of plain arrays, for `phantomlink score`."""
    store = (await request.service.calibrator.get()).store
    store.ready(path.model_id)
    response = await file_response(request.head, store.path(path.model_id), _NPZ)
    name = (("Content-Disposition", f'attachment; filename="{path.model_id}.npz"'),)
    return response.with_headers(name)


def _trials(body: Calibrate, n_trials: int, seed: int, hidden: frozenset[int]) -> tuple[int, ...]:
    if body.trials is not None and body.split is not None:
        raise InvalidParameterError("trials, split: got both, takes one of them")
    if body.trials is not None:
        unknown = sorted(trial for trial in body.trials if not 0 <= trial < n_trials)
        if unknown or not body.trials:
            raise InvalidParameterError(
                f"trials: got {json.dumps(unknown or body.trials)}, the recording has trials 0 to "
                f"{n_trials - 1}"
            )
        if in_test := sorted(hidden & set(body.trials)):
            raise InvalidParameterError(
                f"trials: got {json.dumps(in_test)}, which are test trials of a blind session"
            )
        return tuple(sorted(set(body.trials)))
    share = _DEFAULT_SHARE if body.split is None else body.split.train
    if not 0 < share < 1:
        raise InvalidParameterError(f"split.train: got {share}, takes a share above 0 and below 1")
    return split_trials(set(range(n_trials)) - hidden, share, seed)[0]


def _state(stored: StoredModel) -> ModelState:
    model = stored.model
    return ModelState(
        stored.model_id,
        stored.state,  # type: ignore[arg-type]
        stored.reason,
        stored.kind,
        iso(stored.created_at),
        None if model is None else len(model.unit_ids),
        None if model is None else model.bin_size_ms,
        None if model is None else trials_in_short(model.training_trials),
        {} if model is None else dict(model.validation),
        {} if model is None else dict(model.provenance),
    )


ROUTES = (calibrate, list_all, show, delete, file)
