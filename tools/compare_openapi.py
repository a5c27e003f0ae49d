"""Compares two OpenAPI documents by what they mean.

`$ref` is resolved, titles, the order of members and the way of writing a null or a constant do not
count. Exit code 1 when they differ.

    python -m tools.compare_openapi BEFORE.json [AFTER.json]

Without AFTER, the document of the code beside this script.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phantomlink.rest.all_routes import ROUTES
from phantomlink.rest.openapi import openapi_document


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """The paths, with every reference replaced by what it names."""
    return {
        "paths": _plain(document["paths"], document),
        "messages": {
            name: _plain(document["components"]["schemas"][name], document)
            for name in ("DataMessage", "MetadataMessage")
        },
        "security": document.get("security"),
        "info": document["info"],
    }


def _plain(value: Any, document: dict[str, Any], depth: int = 0) -> Any:
    if isinstance(value, list):
        return [_plain(each, document, depth) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        target: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        others = {key: member for key, member in value.items() if key != "$ref"}
        return _plain(target, document, depth + 1) | _plain(others, document, depth)
    value = {
        key: {name: _plain(each, document, depth) for name, each in member.items()}
        if key == "properties"
        else _plain(member, document, depth)
        for key, member in value.items()
        if not (key == "title" and isinstance(member, str))
    }
    return _as_one_form(value)


def _as_one_form(schema: dict[str, Any]) -> dict[str, Any]:
    if "const" in schema:
        schema = schema | {"enum": [schema["const"]], "type": "string"}
        del schema["const"]
    if "enum" in schema and all(isinstance(each, str) for each in schema["enum"]):
        schema = schema | {"enum": sorted(schema["enum"])}
        schema.setdefault("type", "string")
    if isinstance(schema.get("required"), list):
        schema = schema | {"required": sorted(schema["required"])}
    if isinstance(schema.get("parameters"), list):
        schema = schema | {"parameters": {each["name"]: each for each in schema["parameters"]}}
    if isinstance(schema.get("type"), list):
        schema = schema | {"type": sorted(schema["type"])}
    members = schema.get("anyOf", [])
    if len(members) == 2 and {"type": "null"} in members:
        (other,) = (each for each in members if each != {"type": "null"})
        others = {key: member for key, member in schema.items() if key != "anyOf"}
        if "oneOf" in other:  # may be null already
            return other | others
        kind = other.get("type")
        if isinstance(kind, str):
            return other | others | {"type": sorted([kind, "null"])}
    return schema


def differences(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """One line for each value that is not the same."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            here = f"{where}/{str(key).replace('/', '~1')}"
            if key not in before:
                yield f"+ {here}: {_short(after[key])}"
            elif key not in after:
                yield f"- {here}: {_short(before[key])}"
            else:
                yield from differences(before[key], after[key], here)
    elif before != after:
        yield f"~ {where}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?")
    arguments = parser.parse_args()
    before = json.loads(arguments.before.read_text())
    if arguments.after is None:
        after = openapi_document(ROUTES)
    else:
        after = json.loads(arguments.after.read_text())
    found = list(differences(resolved(before), resolved(after)))
    print("\n".join(found) or "the same")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
