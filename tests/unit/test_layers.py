"""Each room imports what it names: the contracts of pyproject.toml hold, and notice if they do not.

The import graph is built once; each case adds an import to a copy of it.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter import configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.domain.contract import Contract, ContractCheck, InvalidContractOptions

from tools.rooms_contract import RoomsContract

ROOT = Path(__file__).parents[2]
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
# As import-linter reads them: true is "True" for it.
OPTIONS = {
    options["id"]: {k: str(v) if isinstance(v, bool) else v for k, v in options.items()}
    for options in CONTRACTS
}
ROOMS: dict[str, list[str]] = OPTIONS["rooms"]["rooms"]
SESSION = {"root_packages": ["phantomlink"], "include_external_packages": "True"}


def contract(rooms: dict[str, Any]) -> RoomsContract:
    return RoomsContract("rooms", SESSION, {"rooms": rooms})


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("phantomlink", include_external_packages=True, cache_dir=None)


def check_with(
    graph: grimp.ImportGraph, importer: str, imported: str, by: Contract | None = None
) -> ContractCheck:
    changed = copy.deepcopy(graph)
    for module in (importer, imported):
        if module not in changed.modules:
            changed.add_module(module)
    changed.add_import(importer=importer, imported=imported)
    return (by or contract(ROOMS)).check(changed, verbose=False)


def test_every_contract_is_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CONTRACTS)} kept, 0 broken" in done.stdout


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_does_not_name_is_forbidden(graph: grimp.ImportGraph, room: str) -> None:
    """One room, one package known elsewhere in the table and one known nowhere."""
    here = ROOMS[room]
    others = {name for names in ROOMS.values() for name in names if not name.startswith(".")}
    strangers = [
        next(f"phantomlink.{other}" for other in ROOMS if f".{other}" not in [*here, f".{room}"]),
        min(others - set(here)),
        "flask",
    ]
    for stranger in strangers:
        check = check_with(graph, f"phantomlink.{room}.new", stranger)
        assert not check.kept
        [problem] = check.metadata["problems"]
        assert problem.startswith(f"phantomlink.{room}.new imports {stranger}")


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("rest.routes", "h5py"),
        ("engine.session", "quart"),
        ("recordings.bins", "trio"),
        ("wire.packet", "phantomlink.engine.session"),
        ("watch.client", "phantomlink.wire.encoder"),
        ("client.gaps", "phantomlink.close_codes"),
        ("client.gaps", "phantomlink"),
        ("service.service", "phantomlink.recordings.synthetic"),
    ],
)
def test_examples(graph: grimp.ImportGraph, importer: str, imported: str) -> None:
    assert not check_with(graph, f"phantomlink.{importer}", imported).kept


@pytest.mark.parametrize(
    ("kind", "name", "importer", "imported"),
    [
        (
            AcyclicSiblingsContract,
            "no-circles",
            "phantomlink.wire.packet",
            "phantomlink.wire.encoder",
        ),
        (ForbiddenContract, "light", "phantomlink.engine.session", "scipy"),
        (ForbiddenContract, "pure", "phantomlink.engine.timing", "trio"),
    ],
)
def test_the_other_contracts_notice_what_they_forbid(
    graph: grimp.ImportGraph, kind: type[Contract], name: str, importer: str, imported: str
) -> None:
    configuration.configure()
    by = kind(name, SESSION, OPTIONS[name])
    assert by.check(copy.deepcopy(graph), verbose=False).kept
    assert not check_with(graph, importer, imported, by).kept


def test_the_standard_library_is_free(graph: grimp.ImportGraph) -> None:
    assert check_with(graph, "phantomlink.errors", "sqlite3").kept


def test_a_module_in_no_room_is_noticed(graph: grimp.ImportGraph) -> None:
    check = check_with(graph, "phantomlink.stray", "json")
    assert check.metadata["problems"] == ["phantomlink.stray lies in no room of the table"]


def test_a_room_without_modules_is_noticed(graph: grimp.ImportGraph) -> None:
    check = contract({**ROOMS, "attic": []}).check(graph, verbose=False)
    assert check.metadata["problems"] == ["attic: no module lies there"]


def test_what_a_room_names_and_does_not_import_is_told(graph: grimp.ImportGraph) -> None:
    check = contract({**ROOMS, "files": ["numpy"]}).check(graph, verbose=False)
    assert check.kept
    assert "files may import numpy and does not" in check.warnings


@pytest.mark.parametrize(
    ("rooms", "said"),
    [
        ({"a": [".b"], "b": [".c"], "c": [".a"]}, "these import each other: "),
        ({"a": [".b"], "b.inner": [".a"], "b": []}, "these import each other: "),
        ({"a": [".nowhere"]}, "a names .nowhere, which is no room"),
        ({"a": "numpy"}, "a: got 'numpy', takes a list of names"),
    ],
)
def test_a_table_that_cannot_be_meant(rooms: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidContractOptions) as caught:
        contract(rooms)
    assert said in caught.value.errors["rooms"]


def test_rooms_inside_one_another_may_import_each_other() -> None:
    contract({"a": [".a.b"], "a.b": [".a"]})
