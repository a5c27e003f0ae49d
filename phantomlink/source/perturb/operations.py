"""Which operation a transform of each kind is compiled into."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from phantomlink.source.perturb.compiled import CountOperation, Place, TransportOperation
from phantomlink.source.perturb.gains import DriftingGain
from phantomlink.source.perturb.noise import Noise
from phantomlink.source.perturb.transforms import Drift, GaussianNoise, Transform

COUNT_OPERATIONS: MappingProxyType[type[Transform], Callable[[Any, Place], CountOperation]] = (
    MappingProxyType({GaussianNoise: Noise, Drift: DriftingGain})
)

TRANSPORT_OPERATIONS: MappingProxyType[
    type[Transform], Callable[[Any, Place], TransportOperation]
] = MappingProxyType({})
