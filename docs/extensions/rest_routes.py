"""Writes the routes into the page `reference/rest`: from the OpenAPI document, which is the code's.

The page has a line `<!-- routes -->`; Markdown takes its place when Sphinx reads the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document

PAGE, MARK = "reference/rest", "<!-- routes -->"
Json = Mapping[str, Any]
# Every route may answer these; the page says so once.
_ANYWHERE = {"401", "429"}


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}


def _fill(_app: Any, name: str, source: list[str]) -> None:
    if name == PAGE:
        assert MARK in source[0], f"{PAGE} lost its line {MARK}"
        source[0] = source[0].replace(MARK, routes_as_markdown(openapi_document(ROUTES)))


def routes_as_markdown(document: Json) -> str:
    """Every route, under the heading of its group."""
    schemas = document["components"]["schemas"]
    described = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    groups: dict[str, list[str]] = {name: [] for name in described}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            of_group = groups.setdefault(operation["tags"][0], [])
            of_group += _operation(method.upper(), path, operation, schemas)
    lines: list[str] = []
    for name, of_group in groups.items():
        lines += [f"## {name.capitalize()}", "", described.get(name, ""), "", *of_group]
    return "\n".join(lines)


def _operation(method: str, path: str, operation: Json, schemas: Json) -> Iterator[str]:
    yield from (f"### `{method} {path}`", "", f"{operation['summary']}.", "")
    if "description" in operation:
        yield from (operation["description"], "")
    rows = {
        parameter["name"]: (parameter["in"], parameter["schema"], parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    }
    body = _schema(operation.get("requestBody", {}), schemas)
    for name, schema in body.get("properties", {}).items():
        where = "body or query" if name in rows else "body"
        rows[name] = (where, schema, schema.get("description", ""))
    if rows:
        yield from ("| name | in | takes | |", "|---|---|---|---|")
        for name, (where, schema, description) in rows.items():
            yield f"| `{name}` | {where} | {_takes(schema)} | {_cell(description)} |"
        yield ""
    yield from _answers(operation["responses"], schemas)


def _answers(responses: Json, schemas: Json) -> Iterator[str]:
    for status, response in responses.items():
        if not status.startswith(("1", "2")):
            continue
        members = ", ".join(
            f"`{name}`" for name in _schema(response, schemas).get("properties", {})
        )
        yield from (f"Answers {status}" + (f" with {members}." if members else "."), "")
    errors = [
        f"{status} ({_cell(response['description'])})"
        for status, response in responses.items()
        if status >= "300" and status not in _ANYWHERE
    ]
    if errors:
        yield from (f"Errors: {', '.join(errors)}.", "")


def _schema(holder: Json, schemas: Json) -> Json:
    """The JSON schema of a body or an answer; empty where it has none."""
    schema: Json = holder.get("content", {}).get("application/json", {}).get("schema", {})
    return _resolved(schema, schemas)


def _resolved(schema: Json, schemas: Json) -> Json:
    reference = schema.get("$ref")
    return schemas[reference.rpartition("/")[2]] if reference else schema


def _takes(schema: Json) -> str:
    """What a value may be, in a few words."""
    kinds = schema.get("type", schema.get("$ref", "").rpartition("/")[2] or "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    text = " or ".join(kind for kind in kinds if kind != "null")
    if "enum" in schema:
        text = ", ".join(f"`{value}`" for value in schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        text += f" from {low}" if high is None else f", {low} to {high}"
    return _cell(text)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
