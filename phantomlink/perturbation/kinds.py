"""Every kind of transform by name, and the parameters of each."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from functools import cache
from types import MappingProxyType
from typing import get_type_hints

from phantomlink.perturbation.faults import TRANSPORT_KINDS
from phantomlink.perturbation.forms import Form
from phantomlink.perturbation.transforms import COUNT_KINDS

KINDS = MappingProxyType({kind.kind: kind for kind in (*COUNT_KINDS, *TRANSPORT_KINDS)})
"""Kinds by name, in the order in which they are listed."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a kind.

    Attributes:
        name: as in JSON.
        form: what it takes.
        required: whether it has to be given.
        default: what it is when it is not given; None where it is left open.
    """

    name: str
    form: Form
    required: bool
    default: object


@cache
def parameters_of(name: str) -> tuple[Parameter, ...]:
    """The parameters of the kind of this name, in order."""
    kind = KINDS[name]
    hints = get_type_hints(kind, include_extras=True)
    return tuple(
        Parameter(
            name=field.name,
            form=hints[field.name].__metadata__[0],
            required=field.default is MISSING,
            default=None if field.default is MISSING else field.default,
        )
        for field in fields(kind)
    )
