"""The floor: what this machine takes to wake a thread and to write to a socket, and no more."""

from __future__ import annotations

import os
import select
import socket
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from phantomlink.scheduling.timerfd import timerfd

_NS = 1_000_000_000
_LEAD_NS = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """What this machine takes for n wake-ups, ns.

    Attributes:
        kernel: (n,) from the time that was asked for to the return of epoll.
        send: (n,) in the write.
        last_byte: (n,) from the deadline to the write's return, woken a lead early and spun.
    """

    kernel: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    send: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    last_byte: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))


def bare_loop(connection: socket.socket, frame: bytes, rate_hz: int, seconds: float) -> Floor:
    """Wait on a timerfd, spin, write; nothing is encoded and nobody else is served.

    Args:
        connection: where to write.
        frame: what.
        rate_hz: how often.
        seconds: for how long.
    """
    timer = timerfd()
    assert timer is not None
    now = time.monotonic_ns
    fd = timer.create()
    kernel, send, last_byte = [], [], []
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        anchor = now() + _LEAD_NS
        for n in range(int(rate_hz * seconds)):
            deadline = anchor + n * _NS // rate_hz
            asked = deadline - _LEAD_NS
            timer.arm(fd, max(asked, 1))
            epoll.poll()
            woke = now()
            while (began := now()) < deadline:
                pass
            connection.send(frame)
            ended = now()
            kernel.append(max(woke - asked, 0))
            send.append(ended - began)
            last_byte.append(ended - deadline)
    os.close(fd)
    return Floor(*(np.array(values, dtype=np.float64) for values in (kernel, send, last_byte)))
