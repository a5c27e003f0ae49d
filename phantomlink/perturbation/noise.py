"""Transforms of every count alike: noise.

Of a count noise makes a number that never grows when its random bits do: 0 gives the most, all
ones the least. So for nearly every count and beginning of the bits the result is known, whatever
the other bits are, and stands in a table, made with the arithmetic that it stands for. Counts and
bits for which it is not known (where the result steps down, about one in a thousand) go through
that arithmetic.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from phantomlink.perturbation.compiled import Place, Span
from phantomlink.perturbation.exact import MOST, Counts, Floats, normal, normal_of
from phantomlink.perturbation.transforms import GaussianNoise

# 2**14 bytes a count: tables of the presets stay in a processor's cache between ticks. Of twice
# as many bits the table would be made in twice the time, to send half as many to the arithmetic.
_KEY_BITS = 14
_TABLE_COUNTS = 8
"""Counts from 0 to 7 are in the table: bins of 25 ms have fewer spikes."""
_NOT_KNOWN = 255
_TABLES = 16
"""How many are kept, for the standard deviations that were last asked for."""
_FEW = 16
"""More that are not known cost less as arrays."""


class Noise:
    """`GaussianNoise`: 32 bits for each unit and packet."""

    def __init__(self, asked: GaussianNoise, place: Place) -> None:
        self._std = asked.noise_std
        self._n_units = place.n_units
        self._bits = place.bits(0, 4 * place.n_units)
        self._table = noise_table(asked.noise_std)

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        bits = self._bits.halves(span.start, span.n, self._n_units, span.loop)
        keys = counts.astype(np.uint32)
        keys <<= _KEY_BITS
        keys |= bits >> (32 - _KEY_BITS)
        # What is behind the table is as its end: not known.
        known = self._table.take(keys, mode="clip")
        found = known.tobytes()
        n_open = found.count(_NOT_KNOWN)
        if n_open > _FEW:
            return noisy_counts(counts, bits, self._std)
        noisy = known.astype(np.uint16)
        at = -1
        for _ in range(n_open):
            at = found.index(_NOT_KNOWN, at + 1)
            row, column = divmod(at, self._n_units)
            count = counts.item(row, column)
            noisy[row, column] = noisy_count(count, bits.item(row, column), self._std)
        return noisy


def noisy_counts(counts: Counts, bits: NDArray[np.uint32], std: float) -> Counts:
    """What noise makes of counts, by the formula.

    Args:
        counts: any shape.
        bits: same shape, uniform.
        std: of the noise where no spike is, spikes per bin.
    """
    return _plus_noise(counts.astype(np.float64), normal(bits) * std)


def _plus_noise(clean: Floats | float, noise: Floats) -> Counts:
    # (c + 1) * noise + c, in the order that is documented: the last bit depends on it.
    noise = noise * (clean + 1.0)
    noise += clean
    np.rint(noise, out=noise)
    np.maximum(noise, 0.0, out=noise)
    np.minimum(noise, MOST, out=noise)
    return noise.astype(np.uint16)


def noisy_count(count: int, bits: int, std: float) -> int:
    """As `noisy_counts`, of one: in less time than it takes arrays to do little."""
    noise = normal_of(bits) * std * (count + 1.0) + count
    return min(max(round(noise), 0), MOST)


@lru_cache(maxsize=_TABLES)
def noise_table(std: float) -> NDArray[np.uint8]:
    """What becomes of a count whose random bits begin in a certain way.

    Args:
        std: of the noise where no spike is, spikes per bin.

    Returns:
        By count * 2**14 + the first 14 of the 32 bits; 255 where the others decide, where it is
        that or more, and at the end.
    """
    others = 32 - _KEY_BITS
    least = np.arange(1 << _KEY_BITS, dtype=np.uint32) << np.uint32(others)
    noise = normal(np.stack([least, least | np.uint32((1 << others) - 1)])) * std
    table = np.full((_TABLE_COUNTS << _KEY_BITS) + 1, _NOT_KNOWN, dtype=np.uint8)
    by_count = table[:-1].reshape(_TABLE_COUNTS, -1)
    for count in range(_TABLE_COUNTS):
        most, fewest = _plus_noise(float(count), noise)
        is_known = (most == fewest) & (most < _NOT_KNOWN)
        by_count[count] = np.where(is_known, most, _NOT_KNOWN)
    table.setflags(write=False)
    return table
