"""Which operation a transform of each kind is compiled into."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from phantomlink.perturbation import faults, transforms
from phantomlink.perturbation.bursts import Bursts
from phantomlink.perturbation.compiled import CountOperation, Place, TransportOperation
from phantomlink.perturbation.gains import DriftingGain, ShiftedGain, WanderingGain
from phantomlink.perturbation.noise import Noise
from phantomlink.perturbation.silences import Deaths, Exchanges, Limit, Silences
from phantomlink.perturbation.transform import Transform
from phantomlink.perturbation.transport import (
    Delays,
    Duplicates,
    Losses,
    Overtakings,
    Stalls,
)

COUNT_OPERATIONS: Mapping[type[Transform], Callable[[Any, Place], CountOperation]] = (
    MappingProxyType(
        {
            transforms.GaussianNoise: Noise,
            transforms.Drift: DriftingGain,
            transforms.NonstationaryRates: WanderingGain,
            transforms.GainShift: ShiftedGain,
            transforms.Dropout: Silences,
            transforms.DeadUnits: Deaths,
            transforms.UnitSwap: Exchanges,
            transforms.Saturation: Limit,
            transforms.CommonArtifact: Bursts,
        }
    )
)
TRANSPORT_OPERATIONS: Mapping[type[Transform], Callable[[Any, Place], TransportOperation]] = (
    MappingProxyType(
        {
            faults.PacketLoss: Losses,
            faults.PacketDuplicate: Duplicates,
            faults.PacketReorder: Overtakings,
            faults.Jitter: Delays,
            faults.Stall: Stalls,
        }
    )
)
