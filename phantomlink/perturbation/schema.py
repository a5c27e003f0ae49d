"""JSON Schema of a perturbation, from the same forms that check it."""

from __future__ import annotations

from typing import Any

from phantomlink.perturbation.kinds import KINDS, parameters_of
from phantomlink.perturbation.parse import (
    AT_SECONDS,
    LONGEST_NAME,
    MOST_STEPS,
    MOST_TRANSFORMS,
)
from phantomlink.perturbation.presets import PRESETS
from phantomlink.perturbation.transform import Transform


def perturbation_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of what `parse_perturbation` takes.

    It says all but two things: steps ascend in time, and a preset's name is not given to
    something else.
    """
    preset = {"type": "string", "enum": list(PRESETS), "description": "preset or script by name"}
    transforms = {
        "type": "array",
        "items": {"oneOf": [_transform(kind) for kind in KINDS.values()]},
        "maxItems": MOST_TRANSFORMS,
        "description": "applied in this order",
    }
    step = _object(
        {"at_seconds": AT_SECONDS.schema(), "transforms": transforms}, ["at_seconds", "transforms"]
    )
    steps = {
        "type": "array",
        "items": step,
        "maxItems": MOST_STEPS,
        "description": "ascending in time; each replaces the transforms of those before it",
    }
    name = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": LONGEST_NAME,
        "description": "what to call it",
    }
    return {
        "description": "how the data are to misbehave; null for not at all",
        "oneOf": [
            {"type": "null"},
            preset,
            _object({"preset": preset}, ["preset"]),
            _object({"name": name, "transforms": transforms}, ["transforms"]),
            _object({"name": name, "steps": steps}, ["steps"]),
        ],
    }


def _transform(kind: type[Transform]) -> dict[str, Any]:
    properties: dict[str, Any] = {"kind": {"const": kind.kind}}
    required = ["kind"]
    for parameter in parameters_of(kind.kind):
        form = parameter.form.schema()
        if parameter.required:
            required.append(parameter.name)
            properties[parameter.name] = form
            continue
        if parameter.default is not None:
            form["default"] = parameter.default
        properties[parameter.name] = {**form, "type": [form["type"], "null"]}
    schema = _object(properties, required)
    schema["title"] = kind.kind
    schema["description"] = (kind.__doc__ or "").partition("\n")[0]
    schema.update(kind.schema_rules())
    return schema


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
