"""Packets to LSL: the sink that pushes a session's packets and markers to its outlets.

The stamp of a sample is the deadline of its tick, in LSL's clock. Only outlets that an inlet is
connected to are pushed to: what is pushed before one connects would not reach it anyway.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from phantomlink.engine.fanout import Release
from phantomlink.metrics import Histogram
from phantomlink.outputs.lsl.markers import LOOP
from phantomlink.outputs.lsl.outlets import Outlet, row_for
from phantomlink.outputs.lsl.stream_description import (
    INTENTION,
    KINEMATICS,
    MARKERS,
    NEURAL,
    StreamSpec,
)
from phantomlink.wire.packet import Packet

LSL = "lsl"
"""The kind of output, and the transport of its packets."""

_S_PER_NS = 1e-9


class OutletGroup:
    """The outlets of one session, and what is pushed to them.

    Args:
        specs: what they were made of, one for each kind.
        outlets: in the same order.
        markers: by bin.
        clock_offset_seconds: from CLOCK_MONOTONIC to LSL's clock.
    """

    def __init__(
        self,
        specs: tuple[StreamSpec, ...],
        outlets: tuple[Outlet, ...],
        markers: Mapping[int, tuple[str, ...]],
        clock_offset_seconds: float,
    ) -> None:
        self.specs = specs
        self.outlets = outlets
        self._markers_of = markers
        self._offset = clock_offset_seconds
        by_kind = {spec.kind: outlet for spec, outlet in zip(specs, outlets, strict=True)}
        rows = {spec.kind: row_for(spec) for spec in specs if spec.kind != MARKERS}
        self._neural, self._neural_row = by_kind[NEURAL], rows[NEURAL]
        self._kinematics, self._kinematics_row = by_kind[KINEMATICS], rows[KINEMATICS]
        self._intention, self._intention_row = by_kind[INTENTION], rows[INTENTION]
        self._markers = by_kind[MARKERS]
        self._latest_sample = self._latest_marker = -math.inf

    def consumers(self) -> tuple[bool, ...]:
        """Which of the outlets an inlet is connected to."""
        return tuple(outlet.have_consumers() for outlet in self.outlets)

    def push(self, packet: Packet, deadline_ns: int, *, wrapped: bool) -> None:
        """Send a packet, and the markers of its bin.

        Args:
            packet: of the unfiltered playhead.
            deadline_ns: of its tick, monotonic ns.
            wrapped: whether it is the first after the recording has wrapped.
        """
        # A packet that was to be overtaken (a fault that is meant) has an earlier deadline than the
        # one before it; stamps of a stream never step back.
        stamp = self._latest_sample = max(self._stamp(deadline_ns), self._latest_sample)
        if self._neural.have_consumers():
            self._neural_row[0] = packet.spike_counts
            self._neural.push(self._neural_row, stamp)
        if self._kinematics.have_consumers():
            # None becomes NaN in an array of floats.
            self._kinematics_row[0] = (packet.vx, packet.vy, packet.x, packet.y)
            self._kinematics.push(self._kinematics_row, stamp)
        if self._intention.have_consumers():
            aim = packet.intention
            self._intention_row[0] = (aim.target_id, aim.target_x, aim.target_y, packet.trial_id)
            self._intention.push(self._intention_row, stamp)
        if wrapped:
            self.mark(LOOP, deadline_ns)
        for marker in self._markers_of.get(packet.packet_id, ()):
            self.mark(marker, deadline_ns)

    def mark(self, marker: str, at_ns: int) -> None:
        """Send a marker of this moment, monotonic ns; never dated before one that was sent."""
        if self._markers.have_consumers():
            self._latest_marker = max(self._stamp(at_ns), self._latest_marker)
            self._markers.push_text(marker, self._latest_marker)

    def _stamp(self, monotonic_ns: int) -> float:
        return monotonic_ns * _S_PER_NS + self._offset


class LslSink:
    """One listener for all inlets of a session together, while there is any.

    Args:
        group: the session's outlets.
        duration: where it is recorded how long the pushes of each tick took.
        on_end: told why no more packets come: a WebSocket close code.
    """

    wire_format = None
    transport = LSL
    dropped = 0
    was_given_up = False
    # liblsl's own queues do not tell.
    backlog = None
    is_listening = True
    # Pushing costs many times what writing a frame to a socket does.
    is_deferred = True

    def __init__(
        self,
        group: OutletGroup,
        duration: Histogram,
        on_end: Callable[[int], None],
    ) -> None:
        self._group = group
        self._duration = duration
        self._on_end = on_end
        self._loop: int | None = None

    def offer_nowait(self, release: Release) -> None:
        """Push the packet to whoever is connected."""
        began_ns = time.monotonic_ns()
        packet = release.packet
        wrapped = self._loop is not None and packet.loop != self._loop
        self._loop = packet.loop
        self._group.push(packet, release.deadline_ns, wrapped=wrapped)
        self._duration.record(time.monotonic_ns() - began_ns)

    def stream_changed(self) -> None:
        """The session tells its output, who has other outlets made."""

    def end(self, code: int, reason: str) -> None:
        """No more packets come until it is subscribed again."""
        self._on_end(code)
