"""What several processes cannot do, and what each of them is told."""

from __future__ import annotations

import sys
from dataclasses import replace

from phantomlink.errors import SettingsError
from phantomlink.settings import Settings


def check_settings(settings: Settings) -> None:
    """Refuse what several processes cannot do.

    Raises:
        SettingsError: names it.
    """
    n = settings.processes
    if sys.platform != "linux":
        told = f"processes: got {n}, takes 1" if n > 1 else "cluster_url: got one, takes none"
        raise SettingsError(f"{told}: more than one process needs Linux")


def share_of(settings: Settings, n: int) -> Settings:
    """What each of `n` workers is told: memory and time of all are divided among them."""
    return replace(
        settings,
        # The parent has the file.
        state_dir=None,
        recordings_memory_mb=max(settings.recordings_memory_mb // n, 1),
        spin_share=settings.spin_share / n,
    )
