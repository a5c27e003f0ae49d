"""How arrivals lie to an ideal grid: its anchor, its drift, and where it was anchored anew. Pure.

Arrivals are late by many things and early by none, so a grid lies below them: its drift is the
slope of the line that lies below all points (arrival minus ideal, against time) and as close to
them as any: the lower envelope, a linear programme.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from scipy.optimize import linprog

from ..harness.arrivals import Ns

Envelope = tuple[float, float, float]

_NS = 1_000_000_000
# A re-anchor of the server moves the grid by at least this (scheduling/timeline.py: later than
# 4 periods and 100 ms); less some scatter of the arrivals.
_STALL_PERIODS, _STALL_NS, _SCATTER = 4, 100_000_000, 0.9
# Packets after it that must all stay behind: ordinary lateness is caught up much sooner.
_STAYS_BEHIND = 20


def lower_envelope(times_ns: Ns, heights_ns: Ns) -> Envelope:
    """The line below all points, and as close to them as any.

    Args:
        times_ns: (n,) increasing, of at least two.
        heights_ns: (n,).

    Returns:
        Slope, which times a million is the drift in ppm; height at the first time, ns; how far to
        trust the slope: the median height of the points above the line over the span of times.
    """
    times = times_ns - times_ns[0]
    # Of the order of 1, as solvers like it.
    span, height = float(times[-1]), max(float(np.abs(heights_ns).max()), 1.0)
    scaled = times / span
    # As high as can be at the mean of the times, and so as close to all points together.
    found = linprog(
        [-scaled.mean(), -1],
        A_ub=np.column_stack([scaled, np.ones_like(scaled)]),
        b_ub=heights_ns / height,
        bounds=(None, None),
    )
    slope, offset = found.x[0] * height / span, found.x[1] * height
    above = np.median(heights_ns - offset - slope * times)
    return float(slope), float(offset), float(above) / span


def residuals(arrival_ns: Ns, sequence: Ns, rate_hz: Fraction) -> Ns:
    """(n,) arrival minus ideal: the first packet is at 0, each other a whole number of periods on.

    Args:
        arrival_ns: (n,).
        sequence: (n,) which packet it was; a lost one leaves its place in the grid.
        rate_hz: packets a second.
    """
    period = _NS / rate_hz
    steps = sequence - sequence[0]
    # Exact in integers: a float of ns since boot has no place for them after some days.
    ideal: Ns = steps * period.numerator // period.denominator
    late: Ns = (arrival_ns - arrival_ns[0]) - ideal
    return late


def segments(residual_ns: Ns, rate_hz: Fraction) -> list[slice]:
    """Runs of packets that lie on one grid: split where the server anchored anew.

    A re-anchor is a jump of at least a stall that no later packet makes up for.
    """
    threshold = _SCATTER * max(float(_STALL_PERIODS * _NS / rate_hz), _STALL_NS)
    jumps = np.flatnonzero(np.diff(residual_ns) > threshold)
    edges = [0]
    for jump in jumps:
        after = residual_ns[jump + 1 : jump + 1 + _STAYS_BEHIND]
        if after.min() - residual_ns[jump] > threshold:
            edges.append(int(jump) + 1)
    edges.append(len(residual_ns))
    return [slice(a, b) for a, b in pairwise(edges)]


def grid_errors(residual_ns: Ns, parts: Sequence[slice]) -> Ns:
    """(n,) how late each packet is to the ideal grid through the earliest of its segment."""
    errors = np.empty_like(residual_ns)
    for part in parts:
        errors[part] = residual_ns[part] - residual_ns[part].min()
    return errors


def drift(arrival_ns: Ns, residual_ns: Ns, parts: Sequence[slice]) -> Envelope | None:
    """The lower envelope of the longest segment; None when no segment has two packets."""
    longest = max(parts, key=lambda part: part.stop - part.start, default=None)
    if longest is None or longest.stop - longest.start < 2:
        return None
    times = arrival_ns[longest] - residual_ns[longest]  # ideal times, which only increase
    return lower_envelope(times, residual_ns[longest])
