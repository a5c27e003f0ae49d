"""How a watching ends for whoever called the command: its exit code, and JSON in one line."""

from __future__ import annotations

import json
import sys
from typing import Any

PASSED, FAILED, NO_STREAM = 0, 1, 2


def write_json(value: dict[str, Any]) -> None:
    """Print one JSON object."""
    sys.stdout.write(json.dumps(value) + "\n")
