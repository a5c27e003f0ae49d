"""A recording that is too large for memory, and what is done to its file while it plays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_TOOL = Path(__file__).parents[1] / "tools" / "make_large_recording.py"


def make_large(path: Path) -> None:
    """Write a recording with more spikes and more behaviour than are kept in memory."""
    command = [sys.executable, str(_TOOL), str(path), "--units", "400", "--seconds", "820"]
    subprocess.run([*command, "--rate", "13"], check=True, capture_output=True, timeout=120)


def overwrite(path: Path, data: bytes) -> None:
    """As `cp` does: the same file, and another content."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(data)
