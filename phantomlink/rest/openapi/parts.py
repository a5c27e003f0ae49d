"""How the JSON Schemas of the OpenAPI document are put together."""

from __future__ import annotations

from typing import Any

from phantomlink.perturbation.perturber import SEEDS

Schema = dict[str, Any]

CODE_PATTERN = "^[A-Za-z0-9_-]{1,64}$"


def ref(name: str) -> Schema:
    """A reference to a schema of `components`."""
    return {"$ref": f"#/components/schemas/{name}"}


def typed(kind: str, description: str = "", example: Any = None, **others: Any) -> Schema:
    """A value of one JSON type."""
    schema: Schema = {"type": kind}
    if description:
        schema["description"] = description
    if example is not None:
        schema["examples"] = [example]
    return schema | others


def text(description: str = "", example: str | None = None, **others: Any) -> Schema:
    """A string."""
    return typed("string", description, example, **others)


def integer(description: str = "", example: int | None = None, **others: Any) -> Schema:
    """A whole number."""
    return typed("integer", description, example, **others)


def number(description: str = "", example: float | None = None, **others: Any) -> Schema:
    """A number."""
    return typed("number", description, example, **others)


def flag(description: str = "") -> Schema:
    """True or false."""
    return typed("boolean", description)


def time(description: str = "") -> Schema:
    """A moment, ISO 8601 UTC."""
    return text(description, "2026-01-01T00:00:00.025Z", format="date-time")


def session_code() -> Schema:
    """A session's code."""
    return text("1 to 64 letters, digits, '-' or '_'", "swift-neural-42", pattern=CODE_PATTERN)


def seed() -> Schema:
    """A seed."""
    return integer("of the perturbation", 7, minimum=SEEDS.low, maximum=SEEDS.high)


def array(items: Schema, description: str = "", **others: Any) -> Schema:
    """A list of `items`."""
    return typed("array", description, items=items, **others)


def nullable(schema: Schema) -> Schema:
    """The same, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


def record(
    description: str, properties: dict[str, Schema], optional: frozenset[str] = frozenset()
) -> Schema:
    """An object whose members are all there, but for the optional ones."""
    required = [name for name in properties if name not in optional]
    schema = typed("object", description, properties=properties)
    return schema | {"required": required} if required else schema


def described(name: str, description: str) -> Schema:
    """A reference with a description of its own."""
    return ref(name) | {"description": description}
