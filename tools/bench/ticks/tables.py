"""The figures as tables that a page can take as they are: their rows are the names in the JSON."""

from __future__ import annotations

from typing import Any

from ..harness.text import table

Json = dict[str, Any]


def as_text(result: Json) -> str:
    """Everything, as Markdown: p50 / p99, or one figure."""
    found, host, machine = result["scenarios"], result["host"], result["machine"]
    heading = (
        f"{machine['cpus']} CPUs, {machine['system']}, Python {machine['python']}, trio "
        f"{machine['trio']}; {result['rounds']} rounds, slices of {result['slice_seconds']:g} s. "
        f"Meanwhile the host took {host['steal']:.0%} of the CPUs away and everything here used "
        f"{host['busy']:.0%}."
    )
    scenario = found[0]
    groups = {name: list(value) for name, value in scenario.items() if _is_group(value)}
    single = [name for name in scenario if name not in groups and name != "name"]
    names = [each["name"] for each in found]
    tables = [table(["", *names], [[row, *(_cell(s[row]) for s in found)] for row in single])]
    tables += [
        table([group, *names], [[row, *(_cell(s[group][row]) for s in found)] for row in rows])
        for group, rows in groups.items()
    ]
    return "\n\n".join([heading, *tables])


def _is_group(value: object) -> bool:
    return isinstance(value, dict) and "p50" not in value


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_cell(value['p50'])} / {_cell(value['p99'])}"
    if isinstance(value, list):
        return " ".join(map(_cell, value))
    if value is None:
        return "-"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
