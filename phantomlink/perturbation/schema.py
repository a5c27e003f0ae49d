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
    parts = perturbation_schemas("#/$defs/{name}")
    whole: dict[str, Any] = parts.pop("Perturbation")
    return whole | {"$defs": parts}


def perturbation_schemas(reference: str) -> dict[str, Any]:
    """The same and its parts, by the names that generated clients give to classes.

    Args:
        reference: where `{name}` is to be found, as a JSON pointer.
    """

    def ref(name: str) -> dict[str, str]:
        return {"$ref": reference.format(name=name)}

    preset = {"type": "string", "enum": list(PRESETS), "description": "preset or script by name"}
    kinds = {_class_name(kind): _transform(kind) for kind in KINDS.values()}
    transforms = {
        "type": "array",
        "items": {"oneOf": [ref(name) for name in kinds]},
        "maxItems": MOST_TRANSFORMS,
        "description": "applied in this order",
    }
    steps = {
        "type": "array",
        "items": ref("PerturbationStep"),
        "maxItems": MOST_STEPS,
        "description": "ascending in time; each replaces the transforms of those before it",
    }
    name = {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": LONGEST_NAME,
        "description": "what to call it",
    }
    forms = {
        "PresetPerturbation": _object({"preset": preset}, ["preset"]),
        "ConstantPerturbation": _object({"name": name, "transforms": transforms}, ["transforms"]),
        "ScriptedPerturbation": _object({"name": name, "steps": steps}, ["steps"]),
    }
    return {
        "Perturbation": {
            "description": "how the data are to misbehave; null for not at all",
            "oneOf": [
                {"type": "null"},
                preset,
                *map(ref, forms),
            ],
        },
        **forms,
        "PerturbationStep": _object(
            {"at_seconds": AT_SECONDS.schema(), "transforms": transforms},
            ["at_seconds", "transforms"],
        ),
        **kinds,
    }


def _class_name(kind: type[Transform]) -> str:
    return "".join(word.capitalize() for word in kind.kind.split("_"))


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
