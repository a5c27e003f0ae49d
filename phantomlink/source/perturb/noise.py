"""Transforms of every count alike: noise."""

from __future__ import annotations

import numpy as np

from phantomlink.source.perturb.compiled import Place, Span
from phantomlink.source.perturb.exact import MOST, Counts, normal
from phantomlink.source.perturb.transforms import GaussianNoise


class Noise:
    """`GaussianNoise`: 32 bits for each unit and packet."""

    def __init__(self, asked: GaussianNoise, place: Place) -> None:
        self._std = asked.noise_std
        self._n_units = place.n_units
        self._bits = place.bits(0, 4 * place.n_units)

    def apply(self, counts: Counts, span: Span) -> Counts:
        """See `CountOperation`."""
        noise = normal(self._bits.halves(span.start, span.n, self._n_units, span.loop))
        noise *= self._std
        clean = counts.astype(np.float64)
        # (c + 1) * noise + c, in the order that is documented: the last bit depends on it.
        noise *= clean + 1.0
        noise += clean
        np.rint(noise, out=noise)
        np.maximum(noise, 0.0, out=noise)
        np.minimum(noise, MOST, out=noise)
        return noise.astype(np.uint16)
