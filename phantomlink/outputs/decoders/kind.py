"""Decoders as a kind of output: every session has a scoreboard."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from phantomlink.engine.session import Session
from phantomlink.outputs.decoders.scores import KIND, SessionScores, SharedTruth


class DecoderOutputs:
    """The scoreboards of all sessions."""

    name = KIND
    label = "decoders"
    publishes_code = False

    def __init__(self) -> None:
        self._truth = SharedTruth()

    async def run(
        self,
        sessions: Iterable[Session],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """There is nothing to get ready, and nothing to do."""
        task_status.started()

    def output(self, *, is_wanted: bool = True) -> SessionScores:
        """The scoreboard of a session that is about to be made."""
        return SessionScores(self._truth)


def scores_of(session: Session) -> SessionScores | None:
    """The scoreboard of a session; None where the server has none."""
    for output in session.outputs:
        if isinstance(output, SessionScores):
            return output
    return None
