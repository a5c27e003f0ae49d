"""The memory of the process, as several answers show it."""

from __future__ import annotations

from typing import Annotated

import psutil

from phantomlink.rest.records import about

MemoryUsageMb = Annotated[
    float, about("resident memory of the whole process, which sessions share, MB", 110.5)
]
_PROCESS = psutil.Process()


def memory_usage_mb() -> float:
    """Resident memory of the whole process, MB: sessions share all that is large."""
    rss_bytes: int = _PROCESS.memory_info().rss
    return round(rss_bytes / 1e6, 3)
