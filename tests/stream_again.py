"""Clients that come back after they were cut off, and what they may get."""

from __future__ import annotations

from websockets.exceptions import InvalidMessage, InvalidStatus

from tests.clients import receive
from tests.waiting import until


def back(url, n):
    """The first packets of a client that tries until it is let in."""

    def attempt():
        try:
            return receive(url, n)
        except (InvalidStatus, InvalidMessage, OSError):
            return None

    return until(attempt, "a stream")


def are_right(oracle, got):
    assert got.sequence == sorted(set(got.sequence))
    return all(oracle.is_right(packet) for packet in got.packets)
