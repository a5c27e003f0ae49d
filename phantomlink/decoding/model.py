"""A fitted decoder: its parameters, and what they were fitted to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding.interface import Decoder
from phantomlink.errors import InvalidParameterError


class ModelError(InvalidParameterError):
    """A model cannot be fitted, read or used here; the message says why."""

    title = "Model cannot be used"


class Parameters(Protocol):
    """The parameters of one kind of decoder: a frozen dataclass of arrays and numbers."""

    @property
    def n_units(self) -> int:
        """Units whose counts it takes."""
        ...

    def decoder(self) -> Decoder:
        """A decoder of its own state."""
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted decoder.

    Attributes:
        kind: its name among `DECODERS`.
        parameters: of its kind.
        unit_ids: labels of the units, in the order of the counts.
        bin_size_ms: width of the bins that it was fitted to.
        provenance: recording, perturbation, seed, versions, ...; JSON.
        training_trials: trials that it has seen, which may not be scored.
        validation: cross-validated scores and chance; JSON; empty where it was not validated.
    """

    kind: str
    parameters: Parameters
    unit_ids: tuple[int, ...]
    bin_size_ms: float
    provenance: Mapping[str, Any] = field(default_factory=dict)
    training_trials: tuple[int, ...] = ()
    validation: Mapping[str, Any] = field(default_factory=dict)

    def decoder(self) -> Decoder:
        """A decoder of its own state."""
        return self.parameters.decoder()

    def check(self, unit_ids: Sequence[int], bin_size_ms: float) -> None:
        """Refuse a recording that it does not fit.

        Raises:
            ModelError: it has other units or bins.
        """
        if tuple(unit_ids) != self.unit_ids:
            raise ModelError(
                f"the model was fitted to {_units(self.unit_ids)}; "
                f"the recording has {_units(tuple(unit_ids))}"
            )
        if not math.isclose(bin_size_ms, self.bin_size_ms, rel_tol=1e-9):
            raise ModelError(
                f"the model was fitted to bins of {self.bin_size_ms:g} ms; "
                f"the session has bins of {bin_size_ms:g} ms"
            )


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse an array of another shape, of no numbers, or with numbers that are not finite.

    Raises:
        ModelError: it is one.
    """
    if array.shape != shape or array.dtype.kind != "f":
        raise ModelError(
            f"{name}: got {array.dtype} of shape {array.shape}, takes floats of shape {shape}"
        )
    if not np.isfinite(array).all():
        raise ModelError(f"{name}: has values that are not finite")


def _units(unit_ids: tuple[int, ...]) -> str:
    few = ", ".join(map(str, unit_ids[:3]))
    return f"{len(unit_ids)} units ({few}{', ...' if len(unit_ids) > 3 else ''})"
