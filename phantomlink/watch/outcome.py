"""What whoever called the command gets beside the result: exit code, JSON in one line, news."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.live import Live

from phantomlink.watch.plain import plain

PASSED, FAILED, NO_STREAM = 0, 1, 2


def write_json(value: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(value) + "\n")


def tell(line: str, live: Live | None) -> None:
    """Say something while it goes on, on stderr.

    Args:
        line: without an end.
        live: the line that is drawn again and again; None where there is none.
    """
    if live is None:
        sys.stderr.write(f"phantomlink: {plain(line)}\n")
    else:
        live.console.print(plain(line), soft_wrap=True)
