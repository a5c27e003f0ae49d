"""Calls that block, in a thread; and what happens while the system has no thread left."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

from phantomlink.errors import ThreadLimitError
from phantomlink.scheduling.own_cpu import roaming

logger = logging.getLogger(__name__)

T = TypeVar("T")

_AGAIN_SECONDS = 0.5
_SAY_AGAIN_SECONDS = 60.0
# When somebody last said that it waits: one line a minute for all.
_said_at = trio.lowlevel.RunVar("said_at", -math.inf)
# What Python says; the class, RuntimeError, is that of many errors.
_REFUSED = "can't start new thread"


async def run_in_thread(
    call: Callable[..., T],
    *args: object,
    limiter: trio.CapacityLimiter | None = None,
    abandon_on_cancel: bool = False,
) -> T:
    """As `trio.to_thread.run_sync`, for whoever can be told that it does not work now.

    Raises:
        ThreadLimitError: no thread can be started; nothing has been called.
    """
    try:
        return await trio.to_thread.run_sync(
            roaming(partial(call, *args)), limiter=limiter, abandon_on_cancel=abandon_on_cancel
        )
    except RuntimeError as error:
        if str(error) != _REFUSED:
            raise
        raise ThreadLimitError from error


async def run_in_thread_patiently(
    call: Callable[..., T],
    *args: object,
    limiter: trio.CapacityLimiter | None = None,
    abandon_on_cancel: bool = False,
) -> T:
    """As `run_in_thread`, for what nobody waits for: it waits until a thread can be started."""
    while True:
        try:
            return await run_in_thread(
                call, *args, limiter=limiter, abandon_on_cancel=abandon_on_cancel
            )
        except ThreadLimitError as error:
            now = trio.current_time()
            if now - _said_at.get() >= _SAY_AGAIN_SECONDS:
                _said_at.set(now)
                logger.warning("%s; what runs beside the streams waits for one", error)
        await trio.sleep(_AGAIN_SECONDS)
