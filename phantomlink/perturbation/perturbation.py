"""What was asked for: transforms, in steps of stream time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from phantomlink.perturbation.forms import Whole
from phantomlink.perturbation.transform import Transform
from phantomlink.settings import MAX_SEED

SEEDS = Whole(0, MAX_SEED, "seed of everything that is random in a perturbation")
"""What a seed may be."""


@dataclass(frozen=True, slots=True)
class Step:
    """What applies from a time on, in the place of all that applied before.

    Attributes:
        at_seconds: stream time, s: it goes on over loops and does not go back.
        transforms: applied in this order.
    """

    at_seconds: float
    transforms: tuple[Transform, ...]


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A perturbation in its canonical form; made by `parse_perturbation`.

    Attributes:
        steps: ascending in time; before the first one nothing applies.
        name: of the preset or script; None where it has none.
    """

    steps: tuple[Step, ...]
    name: str | None = None

    @property
    def is_identity(self) -> bool:
        """Whether no transform of any step changes anything."""
        return all(transform.is_identity for step in self.steps for transform in step.transforms)

    def as_json(self) -> dict[str, Any]:
        """JSON that says all of it; parsed, it is this perturbation again."""
        said: dict[str, Any] = {} if self.name is None else {"name": self.name}
        if not self.steps:
            said["transforms"] = []
        elif len(self.steps) == 1 and self.steps[0].at_seconds == 0:
            said["transforms"] = _transforms_json(self.steps[0])
        else:
            said["steps"] = [
                {"at_seconds": step.at_seconds, "transforms": _transforms_json(step)}
                for step in self.steps
            ]
        return said


NO_PERTURBATION = Perturbation(())


def _transforms_json(step: Step) -> list[dict[str, Any]]:
    return [_transform_json(transform) for transform in step.transforms]


def _transform_json(transform: Transform) -> dict[str, Any]:
    said: dict[str, Any] = {"kind": transform.kind}
    for field in fields(transform):
        value = getattr(transform, field.name)
        if value is not None:
            said[field.name] = list(value) if isinstance(value, tuple) else value
    return said
