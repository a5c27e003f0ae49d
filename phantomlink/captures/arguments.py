"""The arguments of `phantomlink capture` and `phantomlink verify`, apart from what it imports."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command's arguments."""
    verify = commands.add_parser(
        "verify",
        help="compute the packets of a capture anew and compare",
        description="Compute every packet of a capture (.plj or its .nwb), of a recipe (.json) or "
        "of a client's own log (.jsonl) anew from its source, and compare. Exit code 0: equal; "
        "1: not; 2: it cannot be checked.",
    )
    verify.add_argument("capture", type=Path, help="a capture, a recipe or a log")
    verify.add_argument("--source", type=Path, metavar="FILE", help="the recording it was made of")
    verify.add_argument("--json", action="store_true", help="print the result as JSON")
    verify.add_argument(
        "--certificate", type=Path, metavar="FILE", help="write what was found as JSON and text"
    )
    verify.set_defaults(run=_run)


def add_capture(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The arguments of `phantomlink capture`."""
    capture = commands.add_parser(
        "capture",
        help="capture what a session sends, through its server",
        description="Capture what a session sends and have the file: .plj (the journal), .nwb, "
        ".xdf or .json (the recipe). Exit code 0: complete; 1: the capture is torn.",
    )
    capture.add_argument(
        "url", nargs="?", metavar="URL", help="of the server (default: PHANTOM_URL)"
    )
    capture.add_argument("code", metavar="CODE", help="of the session")
    capture.add_argument("out", type=Path, metavar="OUT", help="the file to make")
    capture.add_argument(
        "--seconds",
        type=float,
        help="for how long (default: until interrupted or the session ends)",
    )
    capture.add_argument("--title", default="", help="of the capture")
    capture.add_argument(
        "--keeps-playing", action="store_true", help="let the session play though nobody listens"
    )
    capture.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    capture.add_argument("--token", help="of the server (default: PHANTOM_API_TOKEN)")
    capture.set_defaults(run=_run_capture)


def _run_capture(arguments: argparse.Namespace) -> int:
    from phantomlink.captures.through_server import run_capture  # noqa: PLC0415

    return run_capture(
        arguments.url,
        arguments.code,
        arguments.out,
        seconds=arguments.seconds,
        title=arguments.title,
        keeps_playing=arguments.keeps_playing,
        overwrite=arguments.overwrite,
        token=arguments.token,
    )


def _run(arguments: argparse.Namespace) -> int:
    from phantomlink.captures.command import run_verify  # noqa: PLC0415

    return run_verify(
        arguments.capture,
        arguments.source,
        as_json=arguments.json,
        certificate=arguments.certificate,
    )
