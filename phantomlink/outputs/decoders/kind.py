"""Decoders as a kind of output: every session has a scoreboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import trio

from phantomlink.engine.session import Session
from phantomlink.outputs.decoders import KIND
from phantomlink.scheduling.deferred import Deferred

if TYPE_CHECKING:
    from phantomlink.outputs.decoders.scores import SessionScores
    from phantomlink.outputs.decoders.shared_scores import SharedScores


class DecoderOutputs:
    """The scoreboards of all sessions."""

    name = KIND
    label = "decoders"
    publishes_code = False
    is_default = True

    def __init__(self) -> None:
        self._shared: SharedScores | None = None

    @property
    def messages(self) -> Mapping[str, int]:
        """What clients have sent, by outcome, of sessions that have ended too."""
        return {} if self._shared is None else self._shared.messages

    async def run(
        self,
        sessions: Iterable[Session],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """There is nothing to get ready, and nothing to do."""
        task_status.started()

    async def prepare(self) -> None:
        """Import what keeps scores: nothing of it is needed before there is a session."""
        await _SCORES.get()

    def output(self, *, is_wanted: bool = True) -> SessionScores:
        """The scoreboard of a session that is about to be made."""
        session_scores, shared_scores = _load_scores()
        if self._shared is None:
            self._shared = shared_scores()
        return session_scores(self._shared)


def _load_scores() -> tuple[type[SessionScores], type[SharedScores]]:
    from phantomlink.outputs.decoders.scores import SessionScores  # noqa: PLC0415
    from phantomlink.outputs.decoders.shared_scores import SharedScores  # noqa: PLC0415

    return SessionScores, SharedScores


_SCORES = Deferred(_load_scores)


def scores_of(session: Session) -> SessionScores | None:
    """The scoreboard of a session; None where the server has none."""
    for output in session.outputs:
        if output.kind == KIND:
            session_scores, _ = _load_scores()
            return output if isinstance(output, session_scores) else None
    return None


def messages_of(kinds: Iterable[object]) -> Mapping[str, int]:
    """What clients of all sessions have sent, by outcome.

    Args:
        kinds: of output of the server.
    """
    for kind in kinds:
        if isinstance(kind, DecoderOutputs):
            return kind.messages
    return {}
