"""What the server's REST says of a session: where it is, and why there is no stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np

from phantomlink.watch.lsl.checks import ServerCount
from phantomlink.watch.lsl.figures import Seconds
from phantomlink.watch.rest import RestAnswer, ask, call
from phantomlink.watch.target import bearer


@dataclass(frozen=True, slots=True)
class Position:
    """The unfiltered playhead at a moment.

    Attributes:
        asked, answered: seconds of this machine's LSL clock.
        sequence_number, packet_id: of the next packet.
        total_packets: bins of the recording.
    """

    asked: float
    answered: float
    sequence_number: int
    packet_id: int
    total_packets: int


def ask_position(
    api_url: str, code: str, clock: Callable[[], float], token: str | None = None
) -> Position | None:
    """`GET /api/control/{code}/position`; None when the server does not say."""
    asked = clock()
    answer = call(f"{api_url}/api/control/{quote(code)}/position", headers=bearer(token))
    answered = clock()
    names = ("sequence_number", "current_packet", "total_packets")
    values = [None if answer is None else answer.get(name) for name in names]
    if not all(isinstance(value, int) and value >= 0 for value in values):
        return None
    return Position(asked, answered, *(int(value) for value in values if value is not None))


def ask_session(api_url: str, code: str, token: str | None = None) -> RestAnswer:
    """`GET /api/sessions/{code}`."""
    return ask(f"{api_url}/api/sessions/{quote(code)}", headers=bearer(token))


def has_session(api_url: str, code: str, token: str | None = None) -> bool | None:
    """Whether the server has the session; None when no server answers."""
    sessions = call(f"{api_url}/api/sessions", headers=bearer(token))
    if sessions is None or not isinstance(sessions.get("sessions"), Mapping):
        return None
    return code in sessions["sessions"]


def count_sent(
    before: Position | None, after: Position | None, stamps: Seconds, received: Seconds
) -> ServerCount | None:
    """What left between two questions, beside what came.

    What had come when a question was asked had left before it; what is due only after its answer
    left after it. Of the packets in between it cannot be said.

    Args:
        before: what the server said first; None when it did not.
        after: what it said last.
        stamps: (n,) timestamps of the samples that came, in the clock of the questions.
        received: (n,) when they came, in that clock.

    Returns:
        None when it cannot be said: not asked twice, or another playback in between.
    """
    if before is None or after is None or after.sequence_number < before.sequence_number:
        return None
    sent = after.sequence_number - before.sequence_number
    come, unsure = [], []
    for question in (before, after):
        had_come = received <= question.asked
        come.append(int(had_come.sum()))
        unsure.append(int((~had_come & (stamps <= question.answered)).sum()))
    steps = after.packet_id - before.packet_id
    return ServerCount(
        sent=sent,
        received=come[1] - come[0] - unsure[0],
        uncertain=sum(unsure),
        first_packet_id=before.packet_id,
        next_packet_id=after.packet_id,
        follows=(steps - sent) % before.total_packets == 0,
    )


def shifted(stamps: Seconds, offset_seconds: float | None) -> Seconds:
    """Timestamps in this machine's clock."""
    return np.asarray(stamps + (offset_seconds or 0.0), dtype=np.float64)
