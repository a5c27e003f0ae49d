"""LSL as a kind of output: what the composition root names."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from phantomlink.engine.session import Session
from phantomlink.files.slots import Slots
from phantomlink.outputs.lsl.manager import LslManager, RunBlocking
from phantomlink.outputs.lsl.outlets import LoadLibrary, load_pylsl
from phantomlink.outputs.lsl.output import LslOutput
from phantomlink.outputs.lsl.sink import LSL
from phantomlink.outputs.lsl.stream_description import StreamDescription
from phantomlink.settings import Settings


class LslOutputs:
    """The LSL outlets of a server's sessions.

    Args:
        settings: what the server was told.
        load: loads LSL; is called once.
        run_blocking: what runs loading, making and destroying; None for worker threads.
        slots: of sessions with outlets; None for those of one process.
    """

    name = LSL
    label = "LSL outlets"
    # Outlets carry the session's code in their names.
    publishes_code = True
    is_default = True

    def __init__(
        self,
        settings: Settings,
        load: LoadLibrary = load_pylsl,
        run_blocking: RunBlocking | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._settings = settings
        self._sessions: Iterable[Session] = ()
        self._manager = LslManager(settings, self._describe, load, run_blocking, slots)

    async def run(
        self,
        sessions: Iterable[Session],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Load LSL, unless it is switched off. Where it cannot be had, that is logged, once."""
        self._sessions = sessions
        await self._manager.run(task_status)

    async def prepare(self) -> None:
        """There is nothing left to import."""

    def output(self, *, is_wanted: bool = True) -> LslOutput:
        """The outlets of a session that is about to be made."""
        return LslOutput(self._manager, is_wanted=is_wanted)

    def _describe(self, session: Session) -> StreamDescription:
        return StreamDescription(
            recording=session.recording,
            sha256=session.open_recording.sha256,
            settings=self._settings,
            code=session.code,
            bin_size_ms=session.grid.bin_size_ms,
            speed=session.speed,
            rate_hz=session.rate_hz,
            lateness=[other.main.timing.lateness for other in self._sessions],
        )
