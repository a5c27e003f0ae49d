"""Process: receives samples through a pylsl inlet and notes when each arrived.

The same talk as `receiver`: hears a config, tells when the first sample is there, hears how
long, tells what it wrote. Where the sender says so the first channel carries the number of the
sample; otherwise it is counted from the timestamps, which lie on the grid of the nominal rate.

Streams beside the measured one are received by liblsl alone, into its buffers: their samples are
taken off the network as they come, and nothing of this process is awake for them.
"""

from __future__ import annotations

import gc
import time
from array import array
from fractions import Fraction
from typing import Any

from ..harness.children import Message, fail, hear, tell
from ..harness.receiver import clocks_since, wall_offset_ns

_RESOLVE_SECONDS = 5.0
_FIRST_SAMPLE_SECONDS = 10.0
_SILENCE_SECONDS = 0.25


def run(config: Message) -> None:
    """Find the stream, wait for its first sample, receive for as long as told."""
    import pylsl  # noqa: PLC0415  # without liblsl its import fails, which the parent is told

    now = time.monotonic_ns
    started_ns = now()
    inlet = _open(pylsl, config["source_id"])
    beside = [_open(pylsl, source_id) for source_id in config.get("beside", ())]
    arrival_ns, sequence, stamp = array("q"), array("q"), array("d")
    is_numbered = config.get("numbered", True)
    gc.disable()

    def receive(end_ns: int | None) -> None:
        give_up_ns = started_ns + int(_FIRST_SAMPLE_SECONDS * 1e9) if end_ns is None else end_ns
        pull = inlet.pull_sample
        while True:
            sample, timestamp = pull(_SILENCE_SECONDS)
            at_ns = now()
            if sample is not None:
                arrival_ns.append(at_ns)
                sequence.append(sample[0] if is_numbered else 0)
                stamp.append(timestamp)
                if end_ns is None:
                    return
            if at_ns >= give_up_ns:
                return

    receive(None)
    if not arrival_ns:
        fail(f"no LSL sample within {_FIRST_SAMPLE_SECONDS:g} s")
    tell({"first_packet_ns": [arrival_ns[0] - started_ns]})
    end_ns = hear()["end_ns"]
    n_before, cpu_seconds, offset = len(arrival_ns), time.process_time(), wall_offset_ns()
    receive(end_ns)
    told = clocks_since(cpu_seconds, offset)
    for each in (inlet, *beside):
        each.close_stream()
    if not is_numbered:
        sequence = numbers(stamp, float(Fraction(config["rate_hz"])))
    # Waiting inside liblsl is not seen from here, and a sample has no packet id.
    nothing = array("q", bytes(8 * len(arrival_ns)))
    tell(
        told
        | {
            "columns": [(arrival_ns, nothing, sequence, nothing, stamp)],
            "bytes": (len(arrival_ns) - n_before) * 4 * inlet.channel_count,
            "closed": [None],
        }
    )


def numbers(stamps: array[float], rate_hz: float) -> array[int]:
    """Numbers of samples by their timestamps, s, from 0; a jump leaves out whole periods."""
    return array("q", [round((stamp - stamps[0]) * rate_hz) for stamp in stamps])


def _open(pylsl: Any, source_id: str) -> Any:
    found = pylsl.resolve_byprop("source_id", source_id, timeout=_RESOLVE_SECONDS)
    if not found:
        fail(f"no LSL stream with source id {source_id}")
    inlet = pylsl.StreamInlet(found[0], max_buflen=5, recover=False)
    inlet.open_stream(timeout=_FIRST_SAMPLE_SECONDS)
    return inlet
