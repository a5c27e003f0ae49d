"""The SHA-256 of what packets say, of those that have been sent and those that never were.

What a packet says, its time and its number aside, depends on the recording, the bin width, the
filter, the perturbation, its seed, the loop and the bin. So it can be computed without playing,
and a client can compare it with what it received.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import trio

from phantomlink.engine.perturbed import AppliedPerturbation, SentRows, apply_perturbation
from phantomlink.engine.selection import Selection
from phantomlink.errors import InvalidParameterError
from phantomlink.recordings.bins import Block
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.wire.canonical import PayloadEncoder

if TYPE_CHECKING:
    from phantomlink.engine.parts import PlaybackParts

MAX_DIGEST_PACKETS = 65_536
"""Of one digest: some fifteen seconds at 142 units."""

_BLOCK_BINS = 64
# After each packet, which takes some 40 us: a thread that is always at work takes turns with the
# event loop, and on a busy machine is preempted in the middle of its own, with the interpreter.
_YIELD_SECONDS = 150e-6


async def payload_digest(
    parts: PlaybackParts,
    applied: AppliedPerturbation | None,
    runs: list[tuple[int, int]],
    loop: int,
    limiter: trio.CapacityLimiter,
) -> str:
    """SHA-256 over the canonical payloads of some packets, in hexadecimal digits.

    Computed in a worker thread that mostly sleeps: a tick that is due waits for one packet at
    most, and rarely.

    Args:
        parts: what plays the recording.
        applied: what is done to the packets.
        runs: `[start, stop)` of bins, in the order of the packets.
        loop: in which they are sent.
        limiter: of the threads that compute digests.

    Raises:
        InvalidParameterError: there are more than `MAX_DIGEST_PACKETS`.
        RecordingError: the recording cannot be read.
    """
    n_packets = sum(stop - start for start, stop in runs)
    if n_packets > MAX_DIGEST_PACKETS:
        raise InvalidParameterError(
            f"start, stop: got {n_packets} packets, takes at most {MAX_DIGEST_PACKETS} at once"
        )
    if applied is not None:
        # Its own: the one of the session is in use by the playheads, in another thread.
        applied = apply_perturbation(applied.perturbation, applied.seed, parts.bins)
    digest = hashlib.sha256()
    for start, stop in _blocks(runs):
        block = await parts.reader.read(start, stop)
        for payload in await run_in_thread(
            partial(_payloads, parts, applied, block, loop), limiter=limiter
        ):
            digest.update(payload)
    return digest.hexdigest()


def runs_within(selection: Selection, start: int, stop: int) -> list[tuple[int, int]]:
    """The runs of selected bins inside [start, stop)."""
    cut = [(max(first, start), min(last, stop)) for first, last in selection.ranges]
    return [(first, last) for first, last in cut if first < last]


def _blocks(runs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    for start, stop in runs:
        for first in range(start, stop, _BLOCK_BINS):
            yield first, min(first + _BLOCK_BINS, stop)


def _payloads(
    parts: PlaybackParts, applied: AppliedPerturbation | None, block: Block, loop: int
) -> list[bytes]:
    rows = SentRows(parts.assembler, block, loop, applied)
    encoder = PayloadEncoder(parts.encoders.header)
    payloads = []
    for row in range(len(rows)):
        payloads.append(encoder.encode(rows.packet(row, 0)))
        time.sleep(_YIELD_SECONDS)
    return payloads
