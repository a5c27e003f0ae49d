"""Processes beside the server that compute for it: packets go before them."""

from __future__ import annotations

import os
from contextlib import suppress

from phantomlink.scheduling.time_slice import longest_time_slice

_NICE = 5


def put_behind_packets(process: int) -> None:
    """Let a process of ours, and what it starts, give way to whoever has a packet to send.

    It still has its share of a busy machine: somebody waits for what it does. What the system does
    not permit, or does not know, it goes without.

    Args:
        process: its id.
    """
    with suppress(OSError):
        longest_time_slice(process)
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process, _NICE)
