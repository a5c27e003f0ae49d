"""The import-linter contract `rooms`: a whitelist for each room of the package.

import-linter's own contracts forbid what they name. This one forbids what is not named: the table
`rooms` in pyproject.toml lists, for each room, the rooms (".engine") and the third-party packages
("numpy") that its modules may import; "." is the package's root. The standard library is free. A
room inside another ("recordings.nwb") has its own line, and its parent's line does not count for
it. The rooms at the top must not form a circle, however long.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.domain.contract import InvalidContractOptions

Table = dict[str, frozenset[str]]


class RoomsField(fields.Field[Table]):
    """A table: the name of a room, and a list of what it may import."""

    def parse(self, raw_data: Any) -> Table:
        if not isinstance(raw_data, dict):
            raise fields.ValidationError("takes a table: room = [names]")
        for room, names in raw_data.items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise fields.ValidationError(f"{room}: got {names!r}, takes a list of names")
        return {room: frozenset(names) for room, names in raw_data.items()}


class RoomsContract(Contract):
    """Each module lies in a room of the table and imports only what its room may."""

    rooms = RoomsField()

    @property
    def table(self) -> Table:
        return cast(Table, self.rooms)

    def validate(self) -> None:
        unknown = [
            f"{room} names {name}, which is no room"
            for room, names in self.table.items()
            for name in sorted(names)
            if name.startswith(".") and name != "." and name[1:] not in self.table
        ]
        if unknown:
            raise InvalidContractOptions({"rooms": "; ".join(unknown)})
        try:
            TopologicalSorter(_between_top_rooms(self.table)).prepare()
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise InvalidContractOptions({"rooms": f"these import each other: {circle}"}) from None

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        [package] = self.session_options["root_packages"]
        problems: list[str] = []
        unused = {room: set(names) for room, names in self.table.items()}
        inhabited: set[str] = set()
        for module in sorted(graph.modules):
            if module == package or not module.startswith(f"{package}."):
                continue
            room = self._room(module.removeprefix(f"{package}."))
            if room is None:
                problems.append(f"{module} lies in no room of the table")
                continue
            inhabited.add(room)
            for imported in sorted(graph.find_modules_directly_imported_by(module)):
                name = self._name(package, imported)
                if name is None or name == f".{room}":
                    continue
                unused[room].discard(name)
                if name not in self.table[room]:
                    problems.append(_problem(graph, module, imported, room, name))
        problems += [f"{room}: no module lies there" for room in self.table.keys() - inhabited]
        warnings = [
            f"{room} may import {name} and does not"
            for room in sorted(inhabited)
            for name in sorted(unused[room])
        ]
        return ContractCheck(not problems, {"problems": problems}, warnings)

    def render_broken_contract(self, check: ContractCheck) -> None:
        for problem in check.metadata["problems"]:
            output.print_error(problem)

    def _room(self, path: str) -> str | None:
        """The innermost room that holds a module, by its path below the package."""
        while path not in self.table:
            path, dot, _ = path.rpartition(".")
            if not dot:
                return None
        return path

    def _name(self, package: str, imported: str) -> str | None:
        """What the table calls an imported module; None for what is free."""
        if imported in sys.stdlib_module_names:
            return None
        if imported == package:
            return "."
        if not imported.startswith(f"{package}."):
            return imported
        path = imported.removeprefix(f"{package}.")
        return f".{self._room(path) or path}"


def _problem(graph: ImportGraph, module: str, imported: str, room: str, name: str) -> str:
    details = graph.get_import_details(importer=module, imported=imported)
    lines = ", ".join(str(detail["line_number"]) for detail in details)
    place = f"{module} (line {lines})" if lines else module
    return f"{place} imports {imported}, but room {room} does not name {name}"


def _between_top_rooms(table: Mapping[str, frozenset[str]]) -> dict[str, set[str]]:
    """Which rooms at the top each room at the top may import, by itself or its inner rooms."""

    def imported(top: str) -> Iterator[str]:
        for room, names in table.items():
            if room.partition(".")[0] == top:
                yield from (name[1:].partition(".")[0] for name in names if name[0] == "." != name)

    tops = {room.partition(".")[0] for room in table}
    return {top: {name for name in imported(top) if name != top} for top in tops}
