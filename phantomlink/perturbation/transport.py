"""What becomes of packets on their way: the faults of transport, block by block."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from phantomlink.perturbation.cells import Events, threshold
from phantomlink.perturbation.compiled import Place, Span, TransportPlan
from phantomlink.perturbation.exact import normal
from phantomlink.perturbation.faults import (
    Jitter,
    PacketDuplicate,
    PacketLoss,
    PacketReorder,
    Stall,
)

_HALF_NORMAL_STD = math.sqrt(1 - 2 / math.pi)
"""Standard deviation of the absolute value of a standard normal variable."""


class _Chances:
    """Whether something happens to each packet: 32 bits for each."""

    def __init__(self, probability: float, place: Place) -> None:
        self._share = np.uint64(threshold(probability))
        self._bits = place.bits(0, 4)

    def of(self, first: int, n: int, loop: int) -> NDArray[np.bool_]:
        """(n,) of packets [first, first + n)."""
        return self._bits.halves(first, n, 1, loop)[:, 0] < self._share


class Losses:
    """`PacketLoss`."""

    def __init__(self, asked: PacketLoss, place: Place) -> None:
        self._chances = _Chances(asked.probability, place)

    def add(self, plan: TransportPlan, span: Span) -> None:
        """See `TransportOperation`."""
        np.logical_or(plan.lost, self._chances.of(span.start, span.n, span.loop), out=plan.lost)


class Duplicates:
    """`PacketDuplicate`."""

    def __init__(self, asked: PacketDuplicate, place: Place) -> None:
        self._chances = _Chances(asked.probability, place)

    def add(self, plan: TransportPlan, span: Span) -> None:
        """See `TransportOperation`."""
        np.logical_or(
            plan.duplicated, self._chances.of(span.start, span.n, span.loop), out=plan.duplicated
        )


class Overtakings:
    """`PacketReorder`: drawn, and the packet before it not drawn."""

    def __init__(self, asked: PacketReorder, place: Place) -> None:
        # Drawn with chance q a packet is overtaken with q * (1 - q), which is to be p.
        self._chances = _Chances((1 - math.sqrt(1 - 4 * asked.probability)) / 2, place)

    def add(self, plan: TransportPlan, span: Span) -> None:
        """See `TransportOperation`."""
        # Row k + 1 is packet k of stream time, so that the first one too has one before it.
        drawn = self._chances.of(span.time, span.n + 1, 0)
        np.logical_or(plan.swapped, drawn[1:] & ~drawn[:-1], out=plan.swapped)


class Delays:
    """`Jitter`."""

    def __init__(self, asked: Jitter, place: Place) -> None:
        self._scale_ns = asked.std_ms * 1e6 / _HALF_NORMAL_STD
        self._bits = place.bits(0, 4)

    def add(self, plan: TransportPlan, span: Span) -> None:
        """See `TransportOperation`."""
        values = np.abs(normal(self._bits.halves(span.start, span.n, 1, span.loop)[:, 0]))
        plan.delay_ns[:] += np.rint(values * self._scale_ns).astype(np.int64)


class Stalls:
    """`Stall`."""

    def __init__(self, asked: Stall, place: Place) -> None:
        self._stall_ns = asked.seconds * 1e9
        self._bin_ns = float(1_000_000_000 / place.grid.rate_hz)
        length = max(1, math.ceil(round(place.bins_in(asked.seconds), 6)))
        self._events = Events(place, 0, length, asked.rate_hz)

    def add(self, plan: TransportPlan, span: Span) -> None:
        """See `TransportOperation`."""
        since = self._events.bins_since(span)
        if since is not None:
            left_ns = np.maximum(np.rint(self._stall_ns - since * self._bin_ns), 0.0)
            plan.delay_ns[:] += np.where(since >= 0, left_ns, 0.0).astype(np.int64)
