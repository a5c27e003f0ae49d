"""`/api/datasets`: which recordings there are, and what they are like before they are played."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal
from weakref import WeakKeyDictionary

from phantomlink.engine.open_recording import OpenRecording
from phantomlink.recordings.catalogue.card import card_of, croissant
from phantomlink.recordings.catalogue.datasets import Dataset
from phantomlink.recordings.recording import Recording
from phantomlink.recordings.summaries import PsthRequest, overview, psth, units
from phantomlink.rest.records import Record, about, encode_json
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response
from phantomlink.rest.route import route
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.service.fetches import FetchRefusedError
from phantomlink.service.service import Service

TAG = "datasets"
_MAX_KEPT = 32


class OfDataset(Record, frozen=True):
    """The dataset in a path."""

    name: Annotated[str, about("of the dataset", "mc_maze_small")]


class OfUnit(Record, frozen=True):
    """The unit of a dataset in a path."""

    name: Annotated[str, about("of the dataset", "mc_maze_small")]
    id: Annotated[str, about("of the unit, or its label", "1011")]


class CardQuery(Record, frozen=True):
    """In which form."""

    format: Annotated[Literal["croissant"] | None, about("Croissant 1.0 in place of ours")] = None


class OverviewQuery(Record, frozen=True):
    """How fine."""

    columns: Annotated[int, about("stretches of equal length, at most 10000", 1000)] = 1000


class PsthQuery(Record, frozen=True):
    """Around what, and of which trials together."""

    align: Annotated[str, about("column of times of the trials", "move_onset_time")] = "start_time"
    before: Annotated[float, about("s before that time", 0.5)] = 0.5
    after: Annotated[float, about("s after it", 0.5)] = 0.5
    bin_ms: Annotated[float, about("width of a bin", 25.0)] = 25.0
    group_by: Annotated[str | None, about("column that groups the trials", "reach_id")] = None


class Card(Record, frozen=True):
    """What a dataset is: DANDI's names, and what is ours in one block; null: not known."""

    identifier: str | None
    contentSize: int | None  # noqa: N815 - DANDI's names
    contentUrl: list[str] | None  # noqa: N815
    digest: dict[str, str] | None
    encodingFormat: str  # noqa: N815
    species: str | None
    wasAttributedTo: list[dict[str, str]] | None  # noqa: N815
    license: str | None
    keywords: list[str] | None
    citation: str | None
    phantomlink: Annotated[
        dict[str, Any],
        about(
            "name, title, state (listed, available, open, fetching, broken) and its reason, "
            "num_channels, duration_seconds, num_trials, behaviour, target_ids, reaches, units, "
            "observed, missing, is_synthetic, split, files, sessions"
        ),
    ]


class DatasetList(Record, frozen=True):
    """The datasets that there are."""

    datasets: list[Card]
    default: Annotated[str | None, about("name of the one that is played when none is named")]
    fetch_refused: Annotated[
        str | None, about("why listed datasets cannot be fetched; null where they can")
    ]


class Rescanned(Record, frozen=True):
    """What a look at the folders found."""

    found: Annotated[int, about("datasets")]


class FetchBegun(Record, frozen=True):
    """A fetch is under way."""

    name: str
    state: Literal["fetching"]


class Overview(Record, frozen=True):
    """Figures of stretches of the recording; null where nothing was observed or is known."""

    t0_seconds: float
    duration_seconds: float
    edges_seconds: Annotated[list[float], about("of the stretches, one more than there are")]
    spikes: Annotated[list[int | None], about("of all units in each stretch")]
    mean_speed: Annotated[list[float | None], about("in the recording's own unit")]
    trials: Annotated[list[dict[str, float]], about("trial_id, start_time, stop_time of each")]


class UnitFigures(Record, frozen=True):
    """A unit of a dataset."""

    id: int
    label: Annotated[str | None, about("of the file, where ids are rows")]
    location: str | None
    n_spikes: int
    mean_rate_hz: Annotated[float | None, about("over observed time")]
    fano_factor: Annotated[float | None, about("of its counts in observed bins")]
    observed: Annotated[list[list[float]] | None, about("start and stop of its intervals, s")]


class Units(Record, frozen=True):
    """The units of a dataset."""

    units: list[UnitFigures]
    bin_size_ms: Annotated[float, about("of the counts that the Fano factor is of")]


class PsthGroup(Record, frozen=True):
    """Trials that belong together."""

    value: Annotated[Any, about("of the column that groups them")]
    n_trials: int
    rate_hz: Annotated[list[float], about("mean rate in each bin")]


class Psth(Record, frozen=True):
    """Mean rate of a unit around an event."""

    unit: int
    align: str
    edges_seconds: Annotated[list[float], about("of the bins, from the event")]
    groups: list[PsthGroup]


@route("GET", "/api/datasets", TAG)
async def list_datasets(request: Request) -> DatasetList:
    """The datasets.

    Files of the data directory, those that were named at the start, and those that the catalogue
    could fetch. What needs a file opened is null until it was opened once.
    """
    datasets = request.service.datasets
    cards = [await _card(request.service, each) for each in datasets.catalogue.values()]
    refused = request.server.get_access_policy().costly_refusal("fetches")
    refused = refused or request.service.fetches.refusal
    return DatasetList([Card(**card) for card in cards], datasets.default_name, refused)


@route("POST", "/api/datasets/rescan", TAG, errors=(409,))
async def rescan(request: Request) -> Rescanned:
    """Look at the data directory and the catalogue again.

    Datasets that sessions play stay open.
    """
    return Rescanned(await request.service.datasets.rescan_when_asked())


@route("GET", "/api/datasets/{name}", TAG, answer=Card)
async def card(request: Request, path: OfDataset, query: CardQuery) -> Response:
    """One dataset."""
    dataset = request.service.datasets.catalogue.named(path.name)
    said = await _card(request.service, dataset)
    if query.format == "croissant":
        said = croissant(said)
    return Response(json.dumps(said).encode())


@route(
    "POST",
    "/api/datasets/{name}/fetch",
    TAG,
    answer=FetchBegun,
    status=202,
    costly="fetches",
    errors=(409,),
)
async def fetch(request: Request, path: OfDataset) -> Response:
    """Fetch a dataset that the catalogue lists.

    Only where the operator allows it (PHANTOM_CATALOG_FETCH=listed); its card says how far it is.
    """
    await request.service.fetches.begin(path.name)
    return Response(encode_json(FetchBegun(path.name, "fetching")), 202)


@route("GET", "/api/datasets/{name}/overview", TAG, answer=Overview, errors=(409,))
async def dataset_overview(request: Request, path: OfDataset, query: OverviewQuery) -> Response:
    """Spikes and mean speed over the whole recording, and its trials."""
    service = request.service

    async def compute(opened: OpenRecording) -> Callable[[], Any]:
        bins = await opened.bins_at(service.rate_hz)
        return partial(overview, opened.recording, bins, query.columns)

    return await _summary(service, path.name, ("overview", query.columns), compute)


@route("GET", "/api/datasets/{name}/units", TAG, answer=Units, errors=(409,))
async def dataset_units(request: Request, path: OfDataset) -> Response:
    """The units, with their rates."""
    service = request.service

    async def compute(opened: OpenRecording) -> Callable[[], Any]:
        bins = await opened.bins_at(service.rate_hz)
        size = bins.grid.bin_size_ms
        return lambda: {"units": units(opened.recording, bins), "bin_size_ms": size}

    return await _summary(service, path.name, ("units",), compute)


@route("GET", "/api/datasets/{name}/units/{id}/psth", TAG, answer=Psth, errors=(409,))
async def unit_psth(request: Request, path: OfUnit, query: PsthQuery) -> Response:
    """Mean rate of a unit around an event of the trials."""
    wanted = PsthRequest(
        path.id, query.align, query.before, query.after, query.bin_ms, query.group_by
    )

    async def compute(opened: OpenRecording) -> Callable[[], Any]:
        return partial(psth, opened.recording, wanted)

    return await _summary(request.service, path.name, ("psth", wanted), compute)


async def _card(service: Service, dataset: Dataset) -> dict[str, Any]:
    datasets = service.datasets
    state, reason = datasets.state_of(dataset)
    progress = service.fetches.progress_of(dataset.name)
    if dataset.path is None:
        state, reason = ("fetching", progress) if progress else (state, reason)
        reason = reason or service.fetches.failure_of(dataset.name)
    facts, size = await datasets.facts_of(dataset)
    opened = datasets.opened_now(dataset.name)
    return card_of(
        dataset,
        facts,
        state=state,
        reason=reason,
        size=size,
        sha256=None if opened is None else opened.sha256,
        sessions=datasets.sessions_of(dataset.name),
    )


# A recording does not change: what was computed of it is kept, encoded, as long as it is open.
_KEPT: WeakKeyDictionary[Recording, dict[tuple[Any, ...], bytes]] = WeakKeyDictionary()


async def _summary(
    service: Service,
    name: str,
    key: tuple[Any, ...],
    compute: Callable[[OpenRecording], Any],
) -> Response:
    """What is computed of a dataset in its worker thread, from what is kept where it is."""
    dataset = service.datasets.catalogue.named(name)
    if dataset.path is None:
        raise FetchRefusedError(f"dataset {name} is listed only: phantomlink fetch {name}", 409)
    async with service.datasets.using(name) as opened:
        kept = _KEPT.setdefault(opened.recording, {})
        body = kept.get(key)
        if body is None:
            work = await compute(opened)
            body = await run_in_thread(
                lambda: json.dumps(work(), allow_nan=False).encode(), limiter=opened.thread
            )
            if len(kept) >= _MAX_KEPT:
                del kept[next(iter(kept))]
            kept[key] = body
    return Response(body)


ROUTES = (
    list_datasets,
    rescan,
    card,
    fetch,
    dataset_overview,
    dataset_units,
    unit_psth,
)
