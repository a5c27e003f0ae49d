"""What comes out for a packet depends on its address alone, and is the same bytes everywhere."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phantomlink.errors import InvalidParameterError
from phantomlink.perturbation.kinds import KINDS
from tests.perturbing import N_UNITS, UNIT_IDS, make_perturber, same_counts

# One of each kind, with numbers that make it happen often.
GOLDEN = [
    ({"kind": "gaussian_noise", "noise_std": 0.5}, "09e0c7fea62967737184b80c5af2a13a"),
    (
        {"kind": "drift", "drift_amplitude": 0.7, "drift_period_seconds": 3.7},
        "00ea25d5d0faeac8c7d512b2787dd567",
    ),
    (
        {"kind": "nonstationary_rates", "rate_std": 0.4, "timescale_seconds": 1.3},
        "e2584aac26a5025a6b32095ad361f075",
    ),
    (
        {"kind": "gain_shift", "gain": 1.3, "at_seconds": 0.55, "fraction": 0.6},
        "de6b6b897fbf8fcdc1728628e5b78da0",
    ),
    ({"kind": "dropout", "fraction": 0.3, "mean_seconds": 0.9}, "ef2ebe6e798a11e1a7aa09fa55bf854c"),
    (
        {"kind": "dead_units", "fraction": 0.2, "at_seconds": 0.3},
        "625645c4efaecb036d6072d1bf1f1e40",
    ),
    ({"kind": "unit_swap", "fraction": 0.4, "at_seconds": 0.8}, "3f3cb9a6563ae5820af336a6581d64dc"),
    ({"kind": "saturation", "max_count": 7}, "72b1632a11188f8ca98696121e83bcae"),
    (
        {"kind": "common_artifact", "rate_hz": 2, "amplitude": 2.5, "duration_seconds": 0.15},
        "bdfcc83864a289161d5d9de16afb501e",
    ),
    ({"kind": "packet_loss", "probability": 0.2}, "a6bab4cbc095286a4cce2bce65f2ba3f"),
    ({"kind": "packet_duplicate", "probability": 0.1}, "1a39281c9756822000236c98d7955876"),
    ({"kind": "packet_reorder", "probability": 0.15}, "457aa64c666adde1b4b286a0d5b27153"),
    ({"kind": "jitter", "std_ms": 3}, "9f7904d36d09f0acbebc4336f953ed15"),
    ({"kind": "stall", "rate_hz": 1.5, "seconds": 0.2}, "c8d175a81ae892f982496d90b681e377"),
]
COUNTS = [asked for asked, _ in GOLDEN if KINDS[asked["kind"]].code < 16]
TRANSPORT = [asked for asked, _ in GOLDEN if KINDS[asked["kind"]].code > 16]
N_BINS, LOOPS = 300, 3
EVERYTHING = {
    "steps": [
        {"at_seconds": 0, "transforms": [asked for asked, _ in GOLDEN]},
        {"at_seconds": 9.11, "transforms": [*COUNTS[::-1], *TRANSPORT]},
        {"at_seconds": 9.12, "transforms": COUNTS},
        {"at_seconds": 14, "transforms": [*COUNTS[2:], *TRANSPORT[2:]]},
    ]
}


def recording() -> np.ndarray:
    """(N_BINS, N_UNITS) counts of 0 to 12 by arithmetic, so that they are the same everywhere."""
    rows, columns = np.ogrid[:N_BINS, :N_UNITS]
    counts = ((rows * 7 + columns * 5) % 13).astype(np.uint16)
    counts.setflags(write=False)
    return counts


RECORDING = recording()


def plan_bytes(plan) -> bytes:
    arrays = (plan.lost, plan.duplicated, plan.swapped, plan.delay_ns.astype("<i8"))
    return b"".join(array.tobytes() for array in arrays)


def checksum(asked: dict) -> str:
    perturber = make_perturber([asked], seed=20_260_101, n_bins=N_BINS)
    digest = hashlib.sha256()
    for start, n, loop in ((0, 40, 0), (107, 190, 2)):
        counts = perturber.counts(RECORDING[start : start + n], start, loop)
        assert counts.dtype == np.uint16
        digest.update(counts.astype("<u2").tobytes())
        plan = perturber.transport(start, n, loop)
        digest.update(b"" if plan is None else plan_bytes(plan))
    return digest.hexdigest()[:32]


@pytest.mark.parametrize(("asked", "expected"), GOLDEN, ids=lambda value: str(value)[:40])
def test_every_transform_gives_the_same_bytes_everywhere(asked, expected) -> None:
    assert checksum(asked) == expected


def test_every_kind_has_golden_bytes_and_does_something() -> None:
    assert {asked["kind"] for asked, _ in GOLDEN} == set(KINDS)
    assert len({kind.code for kind in KINDS.values()}) == len(KINDS)
    nothing = checksum({"kind": "gaussian_noise", "noise_std": 0})
    sums = [expected for _, expected in GOLDEN]
    assert len({*sums, nothing}) == len(GOLDEN) + 1


@settings(max_examples=60)
@given(st.data())
def test_no_partition_order_or_seek_shows_in_what_comes_out(data) -> None:
    rate_hz = data.draw(st.sampled_from([40, Fraction(1000, 33), 1000]))
    perturber = make_perturber(EVERYTHING, n_bins=N_BINS, rate_hz=rate_hz)
    whole = [perturber.counts(RECORDING, 0, loop) for loop in range(LOOPS)]
    plans = [perturber.transport(0, N_BINS, loop) for loop in range(LOOPS)]
    cuts = data.draw(st.sets(st.integers(1, N_BINS - 1), max_size=12))
    edges = [0, *sorted(cuts), N_BINS]
    pieces = [(start, stop, loop) for loop in range(LOOPS) for start, stop in pairwise(edges)]
    fresh = make_perturber(EVERYTHING, n_bins=N_BINS, rate_hz=rate_hz)
    for start, stop, loop in data.draw(st.permutations(pieces)):
        rows = slice(start, stop)
        counts = fresh.counts(RECORDING[rows], start, loop)
        assert counts.tobytes() == whole[loop][rows].tobytes()
        plan, expected = fresh.transport(start, stop - start, loop), plans[loop]
        if plan is not None:
            assert expected is not None
            assert plan_bytes(plan) == plan_bytes(expected.rows(start, stop))
        elif expected is not None:
            quiet = expected.rows(start, stop)
            assert not (quiet.lost | quiet.duplicated | quiet.swapped).any()
            assert not quiet.delay_ns.any()


def test_packet_by_packet_is_the_same_as_all_at_once() -> None:
    perturber = make_perturber(EVERYTHING, n_bins=N_BINS)
    whole = perturber.counts(RECORDING, 0, 1)
    for row in reversed(range(N_BINS)):
        assert (perturber.counts(RECORDING[row : row + 1], row, 1) == whole[row]).all()


@pytest.mark.parametrize("asked", [*COUNTS, EVERYTHING], ids=lambda asked: str(asked)[:30])
def test_the_input_is_never_written_to(asked) -> None:
    perturber = make_perturber([asked] if "kind" in asked else asked, n_bins=N_BINS)
    counts = RECORDING.copy()
    perturber.counts(counts, 0, 1)
    assert (counts == RECORDING).all()
    # Nor what came out before: a block that is kept must not change with the next one.
    first = perturber.counts(RECORDING[:50], 0, 0)
    kept = first.copy()
    perturber.counts(RECORDING[50:100], 50, 0)
    assert (first == kept).all()


RANDOM = [asked for asked in COUNTS if asked["kind"] != "saturation"]


@pytest.mark.parametrize("asked", RANDOM, ids=lambda asked: asked["kind"])
def test_seeds_differ(asked) -> None:
    one, other = (
        make_perturber([asked], seed=seed, n_bins=N_BINS).counts(RECORDING, 0, 0)
        for seed in (0, 2**63 - 1)
    )
    assert (one != other).any()


@pytest.mark.parametrize("asked", TRANSPORT, ids=lambda asked: asked["kind"])
def test_seeds_and_loops_differ_in_transport(asked) -> None:
    plans = [
        plan_bytes(make_perturber([asked], seed=seed, n_bins=N_BINS).transport(0, N_BINS, loop))
        for seed, loop in ((1, 0), (2, 0), (1, 1))
    ]
    assert len(set(plans)) == 3


def test_loops_bins_and_units_differ() -> None:
    noise = {"kind": "gaussian_noise", "noise_std": 1}
    perturber = make_perturber([noise], n_bins=N_BINS)
    one, two = (perturber.counts(same_counts(50, N_BINS), 0, loop) for loop in range(2))
    assert (one != two).mean() > 0.9
    assert len({row.tobytes() for row in one}) == N_BINS
    assert len({column.tobytes() for column in one.T}) == N_UNITS


def test_transforms_of_different_kind_share_no_bits() -> None:
    kinds = [
        {"kind": "gain_shift", "gain": 1.5},
        {"kind": "common_artifact", "rate_hz": 40, "amplitude": 0.5, "duration_seconds": 0.001},
    ]
    ups = []
    for asked in kinds:
        counts = make_perturber([asked], n_bins=N_BINS).counts(same_counts(1, N_BINS), 0, 0)
        ups.append((counts > 1).ravel())
    assert abs(np.corrcoef(*ups)[0, 1]) < 0.05
    assert ups[0].mean() == pytest.approx(0.5, abs=0.02)
    assert ups[1].mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "1", None])
def test_a_seed_is_a_whole_number_of_63_bits(seed) -> None:
    with pytest.raises(InvalidParameterError, match=r"^seed: got .*, takes a whole number from 0"):
        make_perturber("light", seed=seed)


def test_unit_ids_may_be_numpys() -> None:
    asked = [{"kind": "dead_units", "unit_ids": [UNIT_IDS[3]]}]
    perturber = make_perturber(asked, n_bins=N_BINS)
    assert (perturber.counts(same_counts(1, 1), 0, 0)[0] == 0).sum() == 1
