"""What the contract says of the outlets of a session. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEURAL = "neural"


@dataclass(frozen=True, slots=True)
class OutletForm:
    """What an outlet must be.

    Attributes:
        kind: the middle of its source id.
        type: of the stream; None where a setting decides.
        formats: of its samples, as LSL writes them.
        labels: of its channels; None where the recording decides.
        is_regular: whether it has a nominal rate.
    """

    kind: str
    type: str | None
    formats: tuple[str, ...]
    labels: tuple[str, ...] | None
    is_regular: bool


OUTLETS: Mapping[str, OutletForm] = {
    form.kind: form
    for form in (
        OutletForm(NEURAL, None, ("int32", "float32"), None, True),
        OutletForm("kinematics", "Kinematics", ("float32",), ("vx", "vy", "x", "y"), True),
        OutletForm(
            "intention",
            "Intention",
            ("float32",),
            ("target_id", "target_x", "target_y", "trial_id"),
            True,
        ),
        OutletForm("markers", "Markers", ("string",), None, False),
    )
}


def source_id(prefix: str, kind: str, code: str) -> str:
    """By which an outlet is found, whatever its name and type are."""
    return f"{prefix}-{kind}-{code}"
