"""Outputs: how packets leave a session other than to WebSocket clients.

An `OutputKind` is there once in a server and makes an `Output` for each session, which runs as
long as the session does. What an output does with packets it does through a `Sink` (see
`fanout`): one that listens, and so keeps a playhead going, or an `Observer`, which does not. The
engine and everything above know outputs by these protocols alone; the list of kinds stands in the
composition root.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

import trio

SessionT_contra = TypeVar("SessionT_contra", contravariant=True)
"""The session: generic, so that sessions may know their outputs."""


class Output(Protocol[SessionT_contra]):
    """One output of one session.

    Attributes:
        kind: the name of its `OutputKind`.
        is_wanted: False for a session that was asked for without it.
        settled: set once `as_json` says what came of it.
    """

    kind: str
    is_wanted: bool
    settled: trio.Event

    def as_json(self) -> Mapping[str, Any] | None:
        """What the session's answers say under `kind`; None: nothing."""
        ...

    async def run(self, session: SessionT_contra) -> None:
        """Run until cancelled, which is when the session closes. May return before.

        What awaits in its cleanup must be shielded and have a deadline: the session waits for it.
        """
        ...


class OutputKind(Protocol[SessionT_contra]):
    """One kind of output of a server.

    Attributes:
        name: what it is called in requests and answers.
        label: how sentences name it.
        publishes_code: whether it shows the codes of sessions to others, so that private ones go
            without.
        is_default: whether a session has it that was not asked for with or without.
    """

    name: str
    label: str
    publishes_code: bool
    is_default: bool

    async def run(
        self,
        sessions: Iterable[SessionT_contra],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Get ready, then do what is done for all sessions, until cancelled. May return before.

        Args:
            sessions: those that there are, asked anew each time.
            task_status: told when it is ready; the first session is made after that.
        """
        ...

    async def prepare(self) -> None:
        """Import what outputs need; called before each is made, and does nothing the next time."""
        ...

    def output(self, *, is_wanted: bool = True) -> Output[SessionT_contra]:
        """The output of a session that is about to be made."""
        ...
