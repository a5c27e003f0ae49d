"""Perturbations: seeded transforms of spike counts, and faults of transport, as implants misbehave.

`presets` says what was asked for, `perturber` applies it to packets of one recording. Sessions that
are not perturbed load neither.
"""

from phantomlink.perturbation.perturbation import NO_PERTURBATION, SEEDS, Perturbation, Step

__all__ = ["NO_PERTURBATION", "SEEDS", "Perturbation", "Step"]
