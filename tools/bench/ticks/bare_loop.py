"""The floor: what this machine takes to wake a thread and to write to a socket, and no more."""

from __future__ import annotations

import os
import select
import socket
import time

import numpy as np
from numpy.typing import NDArray

from phantomlink.scheduling.timerfd import timerfd

Times = NDArray[np.float64]

_NS = 1_000_000_000
_LEAD_NS = 100_000


def bare_loop(
    connection: socket.socket, frame: bytes, rate_hz: int, seconds: float
) -> dict[str, Times]:
    """Wait on a timerfd, spin, write; nothing is encoded and nobody else is served.

    Args:
        connection: where to write.
        frame: what.
        rate_hz: how often.
        seconds: for how long.

    Returns:
        ns of n wake-ups: `kernel`, (n,) from the time that was asked for to the return of epoll;
        `send`, (n,) in the write; `last_byte`, (n,) from the deadline to the write's return,
        woken a lead early and spun.
    """
    timer = timerfd()
    assert timer is not None
    now = time.monotonic_ns
    fd = timer.create()
    found: dict[str, list[int]] = {"kernel": [], "send": [], "last_byte": []}
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
            found["kernel"].append(max(woke - asked, 0))
            found["send"].append(ended - began)
            found["last_byte"].append(ended - deadline)
    os.close(fd)
    return {name: np.array(values, np.float64) for name, values in found.items()}
