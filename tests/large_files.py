"""A recording that is too large for memory, and what is done to its file while it plays."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

_TOOL = Path(__file__).parents[1] / "tools" / "make_large_recording.py"
_WAITING_SECONDS = 30


def make_large(path: Path) -> None:
    """Write a recording with more spikes and more behaviour than are kept in memory."""
    command = [sys.executable, str(_TOOL), str(path), "--units", "400", "--seconds", "820"]
    subprocess.run([*command, "--rate", "13"], check=True, capture_output=True, timeout=120)


def overwrite(path: Path, data: bytes) -> None:
    """As `cp` does: the same file, and another content."""
    with path.open("r+b") as file:
        file.truncate()
        file.write(data)


def until(condition, what):
    """What the condition answers, as soon as that is true."""
    end = time.monotonic() + _WAITING_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen in {_WAITING_SECONDS} s"
        time.sleep(0.1)
    return found
