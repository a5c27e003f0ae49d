"""Perturbations: seeded transforms of spike counts, and faults of transport, as implants misbehave.

`parse_perturbation` says what was asked for, `Perturber` applies it to packets of one recording.
"""

from phantomlink.perturbation.compiled import TransportPlan
from phantomlink.perturbation.perturbation import NO_PERTURBATION, Perturbation, Step
from phantomlink.perturbation.perturber import Perturber
from phantomlink.perturbation.presets import (
    PRESETS,
    load_perturbation,
    noise_and_drift,
    parse_perturbation,
)
from phantomlink.perturbation.schema import perturbation_schema

__all__ = [
    "NO_PERTURBATION",
    "PRESETS",
    "Perturbation",
    "Perturber",
    "Step",
    "TransportPlan",
    "load_perturbation",
    "noise_and_drift",
    "parse_perturbation",
    "perturbation_schema",
]
