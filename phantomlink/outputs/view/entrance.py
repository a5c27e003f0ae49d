"""Who may watch what: one decision, asked by every entry of the server before the upgrade."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from phantomlink.close_codes import CLOSE_GOING_AWAY
from phantomlink.engine.registry import Registry
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.errors import SessionNotFoundError
from phantomlink.outputs.view.hub import ViewHub
from phantomlink.outputs.view.messages import Json
from phantomlink.outputs.view.session_list import LookElsewhere, SessionList
from phantomlink.outputs.view.view_request import VIEW_PATH, read_view_query, view_code
from phantomlink.outputs.view.viewer import ViewSocket, serve_session_list, serve_session_view

SUBPROTOCOL = "phantomlink.view.v1"
"""What a viewer may offer; browsers that show a token in one must have another answered."""

ServeView = Callable[[ViewSocket], Awaitable[None]]
"""Shows something to a viewer until either side ends."""


class ViewEntrance:
    """All views of a server.

    Args:
        registry: of the sessions.
        mirrored: of those that other nodes own and this one plays too; they are in no list.
        max_viewers: at once.
        describe: what the first message says of a session.
        summarize: what the list says of one.

    Attributes:
        hub: counts the viewers.
    """

    def __init__(
        self,
        registry: Registry,
        mirrored: Registry,
        max_viewers: int,
        describe: Callable[[Session], Json],
        summarize: Callable[[Session], Json],
    ) -> None:
        self._registry = registry
        self._mirrored = mirrored
        self._describe = describe
        self.hub = ViewHub(max_viewers)
        self._sessions = SessionList(lambda: registry, summarize, self._totals)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve views until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sessions.run)
            await nursery.start(self.hub.run)
            task_status.started()

    def include(self, look_elsewhere: LookElsewhere) -> None:
        """Let the list have the sessions of other processes too."""
        self._sessions.include(look_elsewhere)

    async def own_list(self) -> Json:
        """What this process has to say in the list of another."""
        return await self._sessions.own()

    def shut_down(self) -> None:
        """Close the views of the list; those of sessions go with their sessions."""
        self._sessions.end(CLOSE_GOING_AWAY, "the server is going away")

    def enter(self, path: str, query: str) -> ServeView:
        """Let a viewer in; the access policy has let it pass.

        Args:
            path: as sent, still percent-encoded.
            query: as sent, without the question mark.

        Raises:
            PhantomLinkError: why it may not come in, with the HTTP status to answer.
        """
        wanted = read_view_query(query)
        if path == VIEW_PATH:
            self.hub.check()
            return self._serve_list
        code = view_code(path)
        # Not `get`: to watch a session is not to use it.
        session = self._mirrored.find(code) or self._registry.find(code)
        if session is None:
            raise SessionNotFoundError(f"no session {shown_code(code)!r}")
        self.hub.check(session, wanted)

        async def serve(socket: ViewSocket) -> None:
            async with self.hub.watching(session, wanted, self._describe) as feed:
                await serve_session_view(socket, feed)

        return serve

    async def _serve_list(self, socket: ViewSocket) -> None:
        with self.hub.counted():
            await self._sessions.refresh()
            await serve_session_list(socket, self._sessions)

    def _totals(self) -> Json:
        return {
            "sessions": len(self._registry),
            "listeners": sum(session.n_listening for session in self._registry),
            "viewers": self.hub.n_viewers,
        }


def answered_subprotocol(offered: Sequence[str]) -> str | None:
    """Which of the sub-protocols that a viewer offers is answered."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None
