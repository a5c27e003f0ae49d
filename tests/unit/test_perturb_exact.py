"""Random bits by address, and the tables that make values of them: the same on every machine."""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

import numpy as np
import pytest

from phantomlink.perturbation import exact
from phantomlink.perturbation.bits import Bits

ALL_BITS = Bits(5, 6, 8).rows(0, 250_000).ravel().view("<u4")


def test_bits_are_those_of_philox_at_their_address() -> None:
    bits = Bits(7, 9, row_bytes=40)  # two counters of 32 bytes each
    direct = np.random.Philox(
        key=np.array([7, 9], dtype=np.uint64), counter=np.array([2 * 3, 4, 0, 0], dtype=np.uint64)
    )
    assert bits.rows(3, 5, loop=4).tolist() == direct.random_raw(40).reshape(5, 8).tolist()


def test_bits_are_the_same_in_every_numpy() -> None:
    rows = Bits(2**63 - 1, 2**64 - 1, 16).rows(10**9, 2, loop=3)
    assert rows.tolist() == [
        [2446730730449980623, 14664574953831145102, 17714422276898282254, 6455590605385378967],
        [16769362545640029974, 10604906463672764537, 4375842331053336655, 14501887207674602529],
    ]


def test_a_row_does_not_depend_on_what_was_read_before_or_with_it() -> None:
    bits = Bits(1, 2, 50)
    whole = bits.rows(0, 30)
    assert (bits.rows(17, 4) == whole[17:21]).all()
    assert (bits.rows(2, 1) == whole[2:3]).all()
    # Behind it, which is read without going there; in another loop, which is somewhere else.
    assert (bits.rows(3, 2) == whole[3:5]).all()
    assert not np.isin(bits.rows(5, 2, loop=1), whole).any()
    assert (bits.rows(7, 2) == whole[7:9]).all()
    assert (
        bits.halves(2, 1, 12).tolist()[0]
        == [half for word in whole[2].tolist() for half in (word & 0xFFFFFFFF, word >> 32)][:12]
    )
    assert (
        bits.quarters(2, 1, 25).tolist()[0]
        == [word >> shift & 0xFFFF for word in whole[2].tolist() for shift in (0, 16, 32, 48)][:25]
    )


@pytest.mark.parametrize(
    "other", [((2, 2), 0, 0), ((1, 3), 0, 0), ((1, 2), 1, 0), ((1, 2), 0, 1)], ids=str
)
def test_seed_tag_row_and_loop_each_give_other_bits(other) -> None:
    key, row, loop = other
    assert not np.isin(Bits(*key, 32).rows(row, 1, loop), Bits(1, 2, 32).rows(0, 1)).any()


def test_the_table_of_quantiles_does_not_hang_on_the_last_digit_of_the_machine() -> None:
    fractions = [
        math.modf(exact.normal_quantile(*edge) * exact.NORMAL_SCALE)[0]
        for edge in exact.normal_edges()
    ]
    # Machines differ by 1e-9 of a step at most; the nearest edge of a rounding is further away.
    assert min(abs(abs(fraction) - 0.5) for fraction in fractions) > 1e-6


def test_the_table_of_sines_does_not_hang_on_the_last_digit_of_the_machine() -> None:
    fractions = [
        math.modf(math.sin(2 * math.pi * point / 1024) * exact.SINE_SCALE)[0]
        for point in range(1025)
    ]
    assert min(abs(abs(fraction) - 0.5) for fraction in fractions) > 1e-5


def test_the_tables_are_the_same_everywhere() -> None:
    assert checksum(exact.normal(ALL_BITS)) == "c9a0ba4dc023c313198c1e3c150fcc40"
    assert checksum(exact.sine(ALL_BITS.view("<u8"))) == "28f8c56d70c4b0df37693c9a0e1d8572"


def test_normal_values_have_the_quantiles_of_the_normal_distribution() -> None:
    bits = np.concatenate([ALL_BITS[:100_000], np.arange(5000), 2**32 - 1 - np.arange(5000)])
    bits = bits.astype(np.uint32)
    further_out = np.where(bits < 2**31, bits + 0.5, 2**32 - 0.5 - bits) / 2**32
    expected = np.array([-NormalDist().inv_cdf(p) for p in further_out.tolist()])
    expected[bits >= 2**31] *= -1
    assert np.abs(exact.normal(bits) - expected).max() < 1e-4


def test_normal_values_have_tails() -> None:
    ends = exact.normal(np.array([0, 2**32 - 1, 2**31 - 1, 2**31], dtype=np.uint32))
    assert ends[0] == -ends[1]
    assert 6.3 < ends[0] < 6.4
    assert 0 < ends[2] < 1e-6
    assert ends[3] == -ends[2]


def test_a_normal_value_of_its_own_is_that_of_an_array() -> None:
    joints = [round(math.ldexp(m, e - 6)) + d for m, e in exact.normal_edges() for d in (-1, 0, 1)]
    inner = [each for each in joints if 0 <= each < 2**31]
    bits = np.array([*inner, *(2**32 - 1 - x for x in inner), 2**31 - 1, 2**31], dtype=np.uint32)
    bits = np.concatenate([bits, ALL_BITS[:20_000]])
    assert [exact.normal_of(each) for each in bits.tolist()] == exact.normal(bits).tolist()


def test_normal_values_never_grow_with_their_bits() -> None:
    joints = [round(math.ldexp(m, e - 6)) + d for m, e in exact.normal_edges() for d in (-1, 0, 1)]
    inner = [each for each in joints if 0 <= each < 2**31]
    bits = [*inner, *(2**32 - 1 - each for each in inner), *ALL_BITS[:100_000].tolist()]
    assert (np.diff(exact.normal(np.array(sorted(bits), dtype=np.uint32))) <= 0).all()


def test_normal_values_have_the_moments_of_the_normal_distribution() -> None:
    z = exact.normal(ALL_BITS)  # two million
    assert abs(z.mean()) < 0.003
    assert abs(z.var() - 1) < 0.005
    assert abs((z**3).mean()) < 0.015
    assert abs((z**4).mean() - 3) < 0.05


def test_the_sine_is_a_sine() -> None:
    phase = ALL_BITS.view("<u8")[:100_000]
    turns = phase.astype(np.float64) / 2.0**64
    assert np.abs(exact.sine(phase) - np.sin(2 * np.pi * turns)).max() < 5e-6
    quarters = np.array([0, 2**62, 2**63, 3 * 2**62], dtype=np.uint64)
    assert exact.sine(quarters).tolist() == [0, 1, 0, -1]


def test_rounding_by_chance_keeps_the_mean() -> None:
    every = np.arange(2**16, dtype=np.uint16)
    for value in (0.0, 0.25, 1.0, 2.7, 100.5):
        rounded = exact.rounded_by_chance(np.full(2**16, value), every)
        assert abs(rounded.mean() - value) < 1e-4
        assert set(rounded.tolist()) == {math.floor(value), math.ceil(value)}


def test_rounding_by_chance_ends_where_counts_end() -> None:
    bits = np.full(3, 2**16 - 1, dtype=np.uint16)
    assert exact.rounded_by_chance(np.array([65534.5, 65535.5, 1e12]), bits).tolist() == [65535] * 3


def checksum(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()[:32]
