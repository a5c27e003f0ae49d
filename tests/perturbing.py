"""What the tests of perturbations share: a perturber for a made-up recording, and its counts; a
session that plays data that name themselves, perturbed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import trio

from phantomlink.engine.session import Session
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.perturber import Perturber
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.recordings.grid import BinGrid
from tests.fakes import NamedBins, make_parts, make_trial

EXTREME = PRESETS["extreme"]
N_UNITS = 142
UNIT_IDS = tuple(1011 + 10 * column for column in range(N_UNITS))
TRIALS = [make_trial(0, 0.0, 1.0, target_id=0), make_trial(1, 5.0, 6.0, target_id=0)]


def make_perturber(
    asked: object, *, seed: int = 1, n_bins: int = 20_000, rate_hz: int | Fraction = 40
) -> Perturber:
    """For units `UNIT_IDS`; `asked` is a perturbation, or a list of transforms."""
    if isinstance(asked, list):
        asked = {"transforms": asked}
    return Perturber(
        parse_perturbation(asked),
        seed=seed,
        unit_ids=UNIT_IDS,
        grid=BinGrid(0.0, Fraction(rate_hz), n_bins),
    )


def same_counts(value: int, n: int) -> np.ndarray:
    """(n, N_UNITS) counts, all of this value and read-only, as those of a recording are."""
    counts = np.full((n, N_UNITS), value, dtype=np.uint16)
    counts.setflags(write=False)
    return counts


def seen(value: int, n: int, kind: str, seed: int = 1, **parameters: Any) -> np.ndarray:
    """What n bins whose counts are all the same become under one transform."""
    perturber = make_perturber([{"kind": kind, **parameters}], seed=seed, n_bins=n)
    return perturber.counts(same_counts(value, n), 0, 0)


def runs(on: np.ndarray) -> list[int]:
    """Lengths of the runs of True in a row that are whole, without those at its two ends."""
    edges = np.flatnonzero(np.diff(on.astype(np.int8)))
    edges = edges[1:] if on[0] and edges.size else edges
    edges = edges[: edges.size // 2 * 2]
    return (edges[1::2] - edges[::2]).tolist()


def named_bins(n_bins=400, **kwargs):
    """Bins of 12 units that name themselves, with two trials of one target."""
    return NamedBins(n_bins, n_units=12, trials=TRIALS, **kwargs)


@asynccontextmanager
async def running(bins=None, *, perturbation=NO_PERTURBATION, seed=7, **kwargs):
    """A session that plays `named_bins`, or others, perturbed; ended when the block is left."""
    parts = make_parts(bins or named_bins(), **kwargs)
    session = Session("test", parts, perturbation=perturbation, seed=seed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.run)
        yield session
        session.close(1001, "test over")


def expected_counts(bins, perturbation, seed, loop):
    """Of a whole loop in one go: however the packets came to be built, these are their counts."""
    perturber = Perturber(perturbation, seed=seed, unit_ids=bins.unit_ids, grid=bins.grid)
    return perturber.counts(bins.read(0, bins.grid.n_bins).counts, 0, loop)


def assert_as_expected(packets, bins, perturbation, seed):
    """Every packet has the counts that the perturber gives its loop and bin."""
    loops = {packet.loop for packet in packets}
    expected = {loop: expected_counts(bins, perturbation, seed, loop) for loop in loops}
    for packet in packets:
        assert packet.spike_counts.tolist() == expected[packet.loop][packet.packet_id].tolist()
        assert packet.x == packet.packet_id, "kinematics are the truth"
