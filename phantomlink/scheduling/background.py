"""Processes beside the server that compute for it: packets go before them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import trio

from phantomlink.scheduling.own_cpu import keep_off, let_roam
from phantomlink.scheduling.time_slice import longest_time_slice

_NICE = 5
_NICEST = 19


def put_behind_packets(process: int) -> None:
    """Let a process of ours, and what it starts, give way to whoever has a packet to send.

    It still has its share of a busy machine: somebody waits for what it does. What the system does
    not permit, or does not know, it goes without.

    Args:
        process: its id.
    """
    let_roam(process)
    with suppress(OSError):
        longest_time_slice(process)
    _set_nice(process, _NICE)


def put_behind_all(process: int) -> None:
    """Let a process of ours have the CPU only while nobody else wants it: nobody waits for it.

    While `own_cpu` keeps a CPU for packets, it runs on the others.

    Args:
        process: its id.
    """
    keep_off(process)
    _set_nice(process, _NICEST)
    if sys.platform == "linux":
        # Who wakes has a processor at once; a nice process keeps it for its slice.
        with suppress(OSError):
            os.sched_setscheduler(process, os.SCHED_IDLE, os.sched_param(0))


def _set_nice(process: int, nice: int) -> None:
    if hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process, nice)


@dataclass(frozen=True, slots=True)
class Behind:
    """A `task_status` for `trio.run_process`: what it starts is put behind others at once.

    Not by the process itself: until it could, an interpreter has started, which takes the CPU for
    tens of milliseconds.

    Attributes:
        put: does it, given the id of the process.
    """

    put: Callable[[int], None]

    def started(self, value: trio.Process | None = None) -> None:
        """The process runs."""
        assert value is not None
        self.put(value.pid)
