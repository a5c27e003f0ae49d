"""Waiting for what a server does, for as long as a busy machine may need."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.05


def until(condition: Callable[[], T], what: str = "it", *, seconds: float = 120) -> T:
    """What the condition answers, as soon as that is true.

    Rather than a sleep of so long and a count of what came: a busy machine sends less.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not happen in {seconds} s"
        time.sleep(_POLL_SECONDS)
    return found
