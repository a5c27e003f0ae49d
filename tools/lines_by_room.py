"""Counts lines of code by room, before and after: `python tools/lines_by_room.py REVISION`.

A line counts when it holds code: blank lines, comments and docstrings do not. The revision's
modules are counted in the rooms to which git says they have moved since, so a revision from before
the rooms can be compared with them. After is the working tree.
"""

from __future__ import annotations

import argparse
import ast
import io
import statistics
import subprocess
import tokenize
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "phantomlink"
EDGE = frozenset({"rest", "server", "asgi", "access", "state", "web"})
_NO_CODE = frozenset(
    {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
)
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class Module:
    """One file: where it lies, its lines in all and those of code."""

    path: str
    n_lines: int
    n_code: int

    @property
    def room(self) -> str:
        """The folder, or the module's own name where it lies at the top."""
        parts = self.path.split("/")
        return parts[1].removesuffix(".py")


def code_lines(source: str) -> int:
    """Lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in _NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            lines.difference_update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return len(lines)


def moves(name_status: str) -> dict[str, str]:
    """Where each file went in the end.

    Args:
        name_status: what `git log --reverse --name-status` says of renames, oldest first.
    """
    now_at: dict[str, str] = {}
    for line in name_status.splitlines():
        if line.startswith("R"):
            _, old, new = line.split("\t")
            for first, last in list(now_at.items()):
                if last == old:
                    now_at[first] = new
            now_at.setdefault(old, new)
    return now_at


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, check=True, text=True)
    return done.stdout


def before(revision: str) -> list[Module]:
    """The modules of a revision, at the places that they have now."""
    log = ["log", "--reverse", "-M50%", "--diff-filter=R", "--format=", "--name-status"]
    now_at = moves(_git(*log, f"{revision}..HEAD", "--", PACKAGE))
    paths = _git("ls-tree", "-r", "--name-only", revision, PACKAGE).splitlines()
    sources = {path: _git("show", f"{revision}:{path}") for path in paths if path.endswith(".py")}
    return [_module(now_at.get(path, path), source) for path, source in sources.items()]


def after() -> list[Module]:
    """The modules of the working tree."""
    return [_module(path.as_posix(), path.read_text()) for path in Path(PACKAGE).rglob("*.py")]


def _module(path: str, source: str) -> Module:
    return Module(path, len(source.splitlines()), code_lines(source))


def by_room(modules: list[Module]) -> dict[str, int]:
    """Lines of code of each room."""
    lines: dict[str, int] = defaultdict(int)
    for module in modules:
        lines[module.room] += module.n_code
    return dict(lines)


def table(old: Mapping[str, int], new: Mapping[str, int]) -> list[str]:
    """A row for each room, then the edge and all."""
    rows = [(room, old.get(room, 0), new.get(room, 0)) for room in sorted({*old, *new})]
    for name, rooms in (("the edge", EDGE), ("all", {*old, *new})):
        picked = [row for row in rows if row[0] in rooms]
        rows.append((name, sum(row[1] for row in picked), sum(row[2] for row in picked)))
    lines = [f"{'room':<18}{'before':>8}{'after':>8}{'change':>9}"]
    for name, was, now in rows:
        change = f"{100 * (now - was) / was:+.0f} %" if was else "new"
        lines.append(f"{name:<18}{was:>8}{now:>8}{change:>9}")
    return lines


def sizes(title: str, modules: list[Module]) -> str:
    """The median and the largest module, in lines as an editor counts them."""
    # A room's idea in its __init__ is no module that somebody has to read.
    inhabited = [module for module in modules if module.n_code]
    largest = max(inhabited, key=lambda module: module.n_lines)
    median = statistics.median(module.n_lines for module in inhabited)
    return f"{title}: {len(inhabited)} modules, median {median:g}, {largest.path} {largest.n_lines}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="what the working tree is compared with")
    old, new = before(parser.parse_args().revision), after()
    print("\n".join(table(by_room(old), by_room(new))))
    print(sizes("before", old))
    print(sizes("after", new))
    print(f"above 400 lines: {[m.path for m in new if m.n_lines > 400]}")


if __name__ == "__main__":
    main()
