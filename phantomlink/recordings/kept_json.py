"""What was found out about files before, kept as JSON in a cache directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from phantomlink.files.atomic_write import written_atomically
from phantomlink.files.regular import read_regular


def read_kept(place: Path, max_bytes: int) -> dict[str, Any]:
    """What is kept in a place; empty where nothing is that can be read."""
    try:
        kept = json.loads(read_regular(place, max_bytes))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def keep(place: Path, content: dict[str, Any]) -> None:
    """Keep it there; a folder that cannot be written costs only the next start some time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(place, overwrite=True, is_cache=True) as part:
            part.write_text(json.dumps(content), encoding="utf-8")
    except OSError:
        return
