"""From random bits to values, the same to the last bit on every machine and numpy version.

Only integers and the operations that IEEE 754 defines exactly are used (+ - * / and sqrt,
rounding to whole numbers). The normal distribution and the sine are tables of fixed-point numbers
with straight lines between them. The tables are made with the functions of Python's own standard
library, rounded to so few digits that how the machine rounds the last of its own cannot show: a
test holds that no entry is near the edge between two roundings, and another their checksums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint16]
Floats = NDArray[np.float64]

MOST = 65535
"""The most spikes that a count holds; what would be more is this."""

NORMAL_SCALE = 2**20
"""Quantiles of the normal distribution are multiples of 1 / this, standard deviations."""
_OCTAVES, _SEGMENT_BITS = 32, 5
_SEGMENTS = 1 << _SEGMENT_BITS
_MANTISSA_BITS = 52

SINE_SCALE = 2**30
"""Sines are multiples of 1 / this."""
_SINE_BITS = 10


def normal_edges() -> list[tuple[int, int]]:
    """Where the table of quantiles has its points: (m, e) for x = m * 2**(e - 6).

    x / 2**32 is the probability of a value further out: from 2**-33, which is 6.36 standard
    deviations, to a half. The points lie closer the rarer the value, 32 in each octave, so that
    the tails are as true as the middle.
    """
    inner = [(_SEGMENTS + step, octave) for octave in range(_OCTAVES) for step in range(_SEGMENTS)]
    return [*inner, (_SEGMENTS, _OCTAVES)]


def normal_quantile(mantissa: int, exponent: int) -> float:
    """Standard deviations beyond which lies a share of x / 2**32."""
    return -NormalDist().inv_cdf(math.ldexp(mantissa, exponent - _SEGMENT_BITS - 1 - 32))


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Straight lines between the points of a table: base + slope * x."""

    base: Floats
    slope: Floats


@cache
def _normal_lines() -> _Lines:
    """Rolled, so that the last digits of `_index` find the line of an x."""
    edges = normal_edges()
    heights = np.array(
        [round(normal_quantile(*edge) * NORMAL_SCALE) for edge in edges], dtype=np.float64
    )
    x = np.array([math.ldexp(m, e - _SEGMENT_BITS - 1) for m, e in edges])
    # Widths are powers of two and heights whole numbers: neither line has a rounding.
    slope = np.diff(heights) / np.diff(x)
    base = heights[:-1] - slope * x[:-1]
    at = _index(x[:-1])
    lines = _Lines(np.empty_like(base), np.empty_like(slope))
    lines.base[at], lines.slope[at] = base / NORMAL_SCALE, slope / NORMAL_SCALE
    return lines


def _index(x: Floats) -> NDArray[np.int64]:
    """Which line of the table: octave and segment are the first digits of a double, less the sign.

    Of the exponent the last five bits tell 32 octaves apart.
    """
    index = x.view(np.int64) >> (_MANTISSA_BITS - _SEGMENT_BITS)
    index &= _OCTAVES * _SEGMENTS - 1
    return index


def normal(bits: NDArray[np.uint32]) -> Floats:
    """Values of the standard normal distribution, at most 6.36.

    Args:
        bits: any shape, uniform.

    Returns:
        Same shape. As a number with a sign, a half added, the bits are the share that lies
        further out on its side: those near 0 become the tails.
    """
    lines = _normal_lines()
    x = bits.view("<i4").astype(np.float64)
    x += 0.5
    index = _index(x)
    values = lines.base.take(index)
    np.copysign(values, x, out=values)
    x *= lines.slope.take(index)
    values += x
    return values


def normal_of(bits: int) -> float:
    """As `normal`, of one number of 32 bits: in less time than it takes arrays to do little."""
    lines = _normal_lines()
    share = bits + 0.5 if bits < 2**31 else 2**32 - bits - 0.5
    mantissa, exponent = math.frexp(share)  # from a half to 1, where a double has 1 to 2
    octave = (exponent - 2) % _OCTAVES
    index = octave * _SEGMENTS + int(mantissa * 2 * _SEGMENTS) - _SEGMENTS
    height = lines.base.item(index) + lines.slope.item(index) * share
    return height if bits < 2**31 else -height


@cache
def _sine_lines() -> _Lines:
    points = 1 << _SINE_BITS
    turns = [2 * math.pi * point / points for point in range(points + 1)]
    heights = np.array([round(math.sin(turn) * SINE_SCALE) for turn in turns], dtype=np.float64)
    return _Lines(heights[:-1] / SINE_SCALE, np.diff(heights) / SINE_SCALE)


def sine(phase: NDArray[np.uint64]) -> Floats:
    """Sine of a phase in 2**-64 of a turn, right to 5e-6.

    Args:
        phase: any shape.

    Returns:
        Same shape, -1 to 1.
    """
    lines = _sine_lines()
    index = (phase >> np.uint64(64 - _SINE_BITS)).astype(np.int64)
    within = (phase << np.uint64(_SINE_BITS)) >> np.uint64(32)
    values = within.astype(np.float64)
    values *= 2.0**-32
    values *= lines.slope.take(index)
    values += lines.base.take(index)
    return values


def uniform(bits: NDArray[np.uint16] | NDArray[np.uint32]) -> Floats:
    """From 0 to less than 1, the bits as digits behind the point; the same shape."""
    return np.multiply(bits, 2.0 ** (-8 * bits.itemsize), dtype=np.float64)


def rounded_by_chance(values: Floats, bits: NDArray[np.uint16]) -> Counts:
    """Whole numbers whose mean is the value: 2.3 becomes 3 three times in ten, else 2.

    Rounded to the nearest, a unit that fires once in a bin would fire once whatever its gain
    between a half and one and a half.

    Args:
        values: any shape, at least 0; used up.
        bits: same shape, uniform.

    Returns:
        Same shape, with a mean that is low by less than 2**-16.
    """
    values += uniform(bits)
    np.minimum(values, MOST, out=values)
    return values.astype(np.uint16)  # which cuts off what is behind the point
