"""The command line of the soak."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """Its arguments."""
    made = argparse.ArgumentParser(
        prog="soak.py",
        description="Play under churn, slow clients, hostile connections and REST load at once, "
        "and look whether anything grows or is lost. Exit code 1: something is.",
    )
    made.add_argument("--minutes", type=_positive, default=20.0, help="of load (20)")
    made.add_argument(
        "--sessions", type=_at_least_one, default=30, help="each with a well-behaved client (30)"
    )
    made.add_argument("--recording", type=Path, help="NWB file to play (the synthetic one)")
    made.add_argument("--url", help="a server that runs already; without it, one is started")
    made.add_argument("--pid", type=int, help="process of that server, for memory and descriptors")
    made.add_argument("--every", type=_positive, default=10.0, help="seconds between lines (10)")
    made.add_argument("--churn", type=_positive, default=4.0, help="operations a second (4)")
    made.add_argument("--requests", type=_positive, default=20.0, help="REST calls a second (20)")
    made.add_argument("--hostile", type=_positive, default=2.0, help="connections a second (2)")
    made.add_argument("--slow", type=int, default=10, help="clients that do not read, at once (10)")
    made.add_argument("--json", type=Path, help="write everything here")
    return made


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text}: must be above 0")
    return value


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return value
