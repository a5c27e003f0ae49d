"""Decoders as a kind of output: every session has a scoreboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import trio

from phantomlink.engine.session import Session
from phantomlink.outputs.decoders.scores import KIND, SessionScores
from phantomlink.outputs.decoders.shared_scores import SharedScores


class DecoderOutputs:
    """The scoreboards of all sessions.

    Attributes:
        shared: what they have in common.
    """

    name = KIND
    label = "decoders"
    publishes_code = False
    is_default = True

    def __init__(self) -> None:
        self.shared = SharedScores()

    async def run(
        self,
        sessions: Iterable[Session],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """There is nothing to get ready, and nothing to do."""
        task_status.started()

    def output(self, *, is_wanted: bool = True) -> SessionScores:
        """The scoreboard of a session that is about to be made."""
        return SessionScores(self.shared)


def scores_of(session: Session) -> SessionScores | None:
    """The scoreboard of a session; None where the server has none."""
    for output in session.outputs:
        if isinstance(output, SessionScores):
            return output
    return None


def messages_of(kinds: Iterable[object]) -> Mapping[str, int]:
    """What clients of all sessions have sent, by outcome.

    Args:
        kinds: of output of the server.
    """
    for kind in kinds:
        if isinstance(kind, DecoderOutputs):
            return kind.shared.messages
    return {}
