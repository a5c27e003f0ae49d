"""The captures of a server, as its settings have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from phantomlink.files.slots import Slots
from phantomlink.outputs.capture.captures import Captures
from phantomlink.outputs.capture.limits import CaptureLimits
from phantomlink.settings import Settings

_MB = 1_000_000


def captures_folder(settings: Settings) -> Path:
    """Where captures are kept."""
    return settings.capture_dir or settings.data_directory / "captures"


def make_captures(
    settings: Settings, slots: Slots, found: Callable[[], Awaitable[object]]
) -> Captures:
    """None of them has started.

    Args:
        settings: of the server.
        slots: of those that run.
        found: called when there is another dataset.
    """
    return Captures(
        captures_folder(settings),
        slots,
        CaptureLimits(
            settings.capture_max_mb * _MB,
            settings.capture_total_mb * _MB,
            settings.capture_min_free_mb * _MB,
        ),
        settings,
        found,
    )
