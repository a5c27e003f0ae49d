"""Changes modules in small ways and tells which changes no test sees: `tox -e mutation`.

cosmic-ray makes the changes; nothing is written to a file. Each change is a run of the module's
tests in a fork of this process, which has imported what they need of other packages: a tenth of
the time that a new interpreter takes. All modules together take hours; `--sample 60` tries so
many changes of each, the same ones each time. The tests of a module start fast: they need no
plugin but pytest-trio, and most of them not the project's conftest.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import math
import multiprocessing
import os
import random
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

ROOT = Path(__file__).parents[1]
PLAYING = " ".join(
    f"tests/virtual/test_{name}.py"
    for name in (
        *("step", "session", "cpu_yield", "fence", "records", "transport_faults"),
        "recording_recovery",
    )
)
TESTS = {
    "phantomlink/access/rates.py": "tests/unit/test_rates.py",
    "phantomlink/scheduling/spin.py": "tests/unit/test_spin.py",
    "phantomlink/engine/timing.py": "tests/unit/test_timing.py",
    "phantomlink/engine/fanout.py": "tests/unit/test_fanout.py",
    "phantomlink/engine/builder.py": "tests/unit/test_builder.py",
    "phantomlink/engine/prefetch.py": "tests/virtual/test_prefetch.py",
    "phantomlink/engine/playback_state.py": "tests/virtual/test_playback_state.py",
    "phantomlink/engine/playback.py": PLAYING,
    "phantomlink/engine/recording_recovery.py": (
        "tests/virtual/test_recovery_pace.py tests/virtual/test_recovery_threads.py "
        "tests/virtual/test_recording_recovery.py"
    ),
    "phantomlink/outputs/websocket/frame_stream.py": (
        "tests/unit/test_frame_queue.py tests/unit/test_frame_stream.py"
    ),
    "phantomlink/server/request_head.py": "tests/unit/test_request_head.py",
    "phantomlink/recordings/nwb/series.py": "tests/unit/test_series.py",
    "phantomlink/recordings/nwb/units.py": "tests/unit/test_unit_tables.py",
    "phantomlink/recordings/kinematics.py": "tests/unit/test_behaviour.py",
}
OPTIONS = "-x -q -W error -p no:cacheprovider -c /dev/null -p pytest_trio.plugin -o trio_mode=true"
IMPORTED_ONCE = ("h5py", "hypothesis", "msgpack", "numpy", "trio", "trio_websocket", "xdist")
# Of the changes: fewer seen is an error.
SEEN = 0.9
# A change that makes tests run for ever, or wait for ever, is seen after so long; of CPU, after so
# many times what they take without it.
CPU_TIMES, LEAST_CPU_SECONDS, WALL_SECONDS = 4, 4, 240
_SEED = 14


class Changed(MetaPathFinder, InspectLoader):
    """Imports one module from another source than its file's.

    Args:
        path: of the module, from the project's root.
        source: what is imported.
    """

    def __init__(self, path: str, source: str) -> None:
        self._name = path.removesuffix(".py").replace("/", ".")
        self._path = path
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of that module; None for others."""
        if fullname != self._name:
            return None
        return spec_from_loader(fullname, self, origin=self._path)

    def get_source(self, fullname: str) -> str:
        """What is imported."""
        return self._source


class WithoutAnnotations(ast.NodeTransformer):
    """What is left when annotations and protocols are taken out, in which nothing runs."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """A class; a protocol is an annotation of its own."""
        if any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """An argument."""
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A function."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """An async function."""
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """A variable."""
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def meaning(source: str) -> str | None:
    """The same for two sources that differ in annotations and layout alone; None for nonsense."""
    try:
        return ast.dump(WithoutAnnotations().visit(ast.parse(source)))
    except SyntaxError:
        return None


def changes(module: str) -> Iterator[str]:
    """Every change of a module that changes what it does: its whole source."""
    source = (ROOT / module).read_text()
    unchanged = meaning(source)
    database: WorkDB
    with use_db(":memory:", WorkDB.Mode.create) as database:
        init([ROOT / module], database, {})
        mutations = [mutation for item in database.work_items for mutation in item.mutations]
    for mutation in mutations:
        operator = get_operator(mutation.operator_name)(**mutation.operator_args)
        changed = None
        with suppress(AttributeError):  # it cannot replace the name of an exception with a dot
            changed = mutate_code(source, operator, mutation.occurrence)
        if changed is not None and meaning(changed) not in (None, unchanged):
            yield changed


def is_seen(module: str, source: str, cpu_seconds: int) -> bool:
    """Whether a test fails, or does not end in time, with this source of a module."""
    process = multiprocessing.get_context("fork").Process(
        target=_test, args=(module, source, cpu_seconds)
    )
    process.start()
    process.join(WALL_SECONDS)
    process.kill()
    process.join()
    return process.exitcode != 0


def _test(module: str, source: str, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.meta_path.insert(0, Changed(module, source))
    tests = TESTS[module]
    conftest = [] if "virtual" in tests else ["--noconftest"]
    os._exit(pytest.main([*OPTIONS.split(), f"--rootdir={ROOT}", *conftest, *tests.split()]))


def mutate(module: str, sample: int | None) -> float:
    """Print each change of a module that no test sees; the share of those that one does.

    Args:
        module: its path.
        sample: how many changes to try; None: all.
    """
    source = (ROOT / module).read_text()
    before = _cpu_seconds_of_tests()
    if is_seen(module, source, resource.RLIM_INFINITY):
        raise SystemExit(f"{module}: {TESTS[module]} fail as it is")
    cpu_seconds = LEAST_CPU_SECONDS + math.ceil(CPU_TIMES * (_cpu_seconds_of_tests() - before))
    tried = list(dict.fromkeys(changes(module)))
    random.Random(_SEED).shuffle(tried)
    tried = tried[:sample]
    n_seen = 0
    for n, changed in enumerate(tried, 1):
        if is_seen(module, changed, cpu_seconds):
            n_seen += 1
            continue
        lines = difflib.unified_diff(source.splitlines(), changed.splitlines(), n=1, lineterm="")
        print(f"{module}: not seen ({n} of {len(tried)})", *list(lines)[2:], sep="\n", flush=True)
    share = n_seen / len(tried)
    print(f"{module}: {n_seen} of {len(tried)} changes seen, {share:.1%}", flush=True)
    return share


def _cpu_seconds_of_tests() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS), help=f"of {', '.join(TESTS)}")
    parser.add_argument(
        "--sample", type=int, help="changes of each module; all of them if left out"
    )
    arguments = parser.parse_args()
    for module in arguments.modules:
        if module not in TESTS:
            parser.error(f"{module}: takes one of {', '.join(TESTS)}")
    if arguments.sample is not None and arguments.sample < 1:
        parser.error(f"--sample: takes 1 or more, got {arguments.sample}")
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    # So Hypothesis takes the same examples each time, without a deadline.
    os.environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": "true"}
    for package in IMPORTED_ONCE:
        import_module(package)
    shares = [mutate(module, arguments.sample) for module in arguments.modules]
    return int(min(shares) < SEEN)


if __name__ == "__main__":
    sys.exit(main())
