"""The captures of a server, as its settings have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from phantomlink.outputs.capture.captures import Captures
from phantomlink.outputs.capture.limits import CaptureLimits
from phantomlink.settings import Settings

_MB = 1_000_000


def captures_folder(settings: Settings) -> Path:
    """Where captures are kept."""
    return settings.capture_dir or settings.data_directory / "captures"


def make_captures(settings: Settings, found: Callable[[], Awaitable[object]]) -> Captures:
    """None of them has started.

    Args:
        settings: of the server.
        found: called when there is another dataset.
    """
    return Captures(
        captures_folder(settings),
        settings.max_captures,
        CaptureLimits(
            settings.capture_max_mb * _MB,
            settings.capture_total_mb * _MB,
            settings.capture_min_free_mb * _MB,
        ),
        settings,
        found,
    )
