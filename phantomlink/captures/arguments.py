"""The arguments of `phantomlink verify`, apart from what it imports."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    verify = commands.add_parser(
        "verify",
        help="compute the packets of a capture anew and compare",
        description="Compute every packet of a capture (.plj), of a recipe (.json) or of a "
        "client's own log (.jsonl) anew from its source, and compare. Exit code 0: equal; 1: not; "
        "2: it cannot be checked.",
    )
    verify.add_argument("capture", type=Path, help="a capture, a recipe or a log")
    verify.add_argument("--source", type=Path, metavar="FILE", help="the recording it was made of")
    verify.add_argument("--json", action="store_true", help="print the result as JSON")
    verify.add_argument(
        "--certificate", type=Path, metavar="FILE", help="write what was found as JSON and text"
    )
    verify.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from phantomlink.captures.command import run_verify  # noqa: PLC0415

    return run_verify(
        arguments.capture,
        arguments.source,
        as_json=arguments.json,
        certificate=arguments.certificate,
    )
