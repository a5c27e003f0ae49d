"""One answer out of those of all workers. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]

_SAMPLE = re.compile(r"([A-Za-z_:][\w:]*)(\{(.*)\})?( .*)\Z", re.ASCII)
_END = "# EOF"


def merged_json(path: str, answers: Sequence[Json]) -> Json:
    """The answer to a GET of a list or of totals, or to a cleanup.

    Args:
        path: that was asked.
        answers: of each worker, that of whoever merges first.
    """
    return _MERGERS[path](answers)


def is_merged(method: str, path: str) -> bool:
    """Whether an answer is put together out of those of all workers."""
    if path == "/api/sessions/cleanup":
        return method == "POST"
    return method in {"GET", "HEAD"} and (path in _MERGERS or path == "/metrics")


def merged_metrics(answers: Mapping[str, str]) -> str:
    """Texts for Prometheus as one: every sample says which worker it is of.

    Args:
        answers: texts by name of the worker.
    """
    families: dict[str, list[str]] = {}
    described: dict[str, list[str]] = {}
    has_end = False
    for node, text in answers.items():
        family = ""
        for line in text.splitlines():
            if line == _END:
                has_end = True
            elif line.startswith("# "):
                family = line.split(" ", 3)[2]
                if not families.setdefault(family, []):
                    lines = described.setdefault(family, [])
                    if line not in lines:
                        lines.append(line)
            elif line:
                families.setdefault(family, []).append(_labelled(line, node))
    lines = [
        line for family, samples in families.items() for line in (*described[family], *samples)
    ]
    return "\n".join([*lines, *([_END] if has_end else [])]) + "\n"


def _labelled(line: str, node: str) -> str:
    found = _SAMPLE.match(line)
    if found is None:
        return line
    name, _, labels, rest = found.groups()
    own = f'node="{node}"'
    return f"{name}{{{own if not labels else f'{labels},{own}'}}}{rest}"


def _sessions(answers: Sequence[Json]) -> Json:
    sessions = {code: each for answer in answers for code, each in answer["sessions"].items()}
    return {**answers[0], "sessions": sessions, "total_sessions": len(sessions)}


def _summed(*kept: str) -> Callable[[Sequence[Json]], Json]:
    """Numbers are added, but for those that are `kept`; whatever else is the first one's."""

    def merge(answers: Sequence[Json]) -> Json:
        return {
            name: sum(answer[name] for answer in answers) if _adds(value, name, kept) else value
            for name, value in answers[0].items()
        }

    return merge


def _adds(value: object, name: str, kept: Sequence[str]) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and name not in kept


def _figures(answers: Sequence[Json]) -> Json:
    figures = [answer["metrics"] for answer in answers]
    by_code = {code: each for part in figures for code, each in part["sessions"].items()}
    return {**answers[0], "metrics": {**_summed()(figures), "sessions": by_code}}


def _captures(answers: Sequence[Json]) -> Json:
    """Finished ones lie in one folder and are in every list; a running one is in its worker's."""
    by_id: dict[str, Json] = {}
    for answer in answers:
        for capture in answer["captures"]:
            known = by_id.get(capture["id"])
            if known is None or capture["state"] == "running":
                by_id[capture["id"]] = capture
    latest_first = [by_id[name] for name in sorted(by_id, reverse=True)]
    return {"captures": latest_first, "total_captures": len(latest_first)}


def _nodes(answers: Sequence[Json]) -> Json:
    """Each knows of its own sessions alone, and the limit is that of all of one server."""
    nodes = sorted((node for answer in answers for node in answer["nodes"]), key=_by_number)
    room: dict[str | None, int] = {}
    for node in nodes:
        limit = room.setdefault(node["url"], node["sessions"] + node["room"])
        room[node["url"]] = limit - node["sessions"]
    return {"nodes": [{**node, "room": max(room[node["url"]], 0)} for node in nodes]}


def _by_number(node: Json) -> tuple[int, str]:
    return len(node["name"]), node["name"]


def _models(answers: Sequence[Json]) -> Json:
    """Their files lie in one folder; one that is being fitted is known where that is done."""
    by_id = {each["model_id"]: each for answer in answers for each in answer["models"]}
    return {"models": sorted(by_id.values(), key=lambda each: each["created_at"])}


_MERGERS: dict[str, Callable[[Sequence[Json]], Json]] = {
    "/api/sessions": _sessions,
    "/api/sessions/cleanup": _summed(),
    "/api/stats": _summed("max_sessions"),
    "/api/captures": _captures,
    "/api/models": _models,
    "/api/nodes": _nodes,
    "/metrics": _figures,
    "/health": _summed(),
}


def read_json(body: bytes) -> Json:
    """An answer of a worker."""
    answer: Json = json.loads(body)
    return answer
