"""What lives beside a session's playheads: outputs, and the events that they are told of.

A output runs as long as its session, in its nursery. It is how another form of output (LSL
outlets, say) lives and dies with the session while the engine knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from phantomlink.engine.session import Session


class SessionEvent(Enum):
    """What happens to a session between packets."""

    PAUSED = "pause"
    RESUMED = "resume"
    SOUGHT = "seek"
    STOPPED = "stop"
    ENDED = "end"
    """The unfiltered playhead has played its last bin and does not loop."""
    PACED = "speed"
    ARRIVED = "arrival"
    """Somebody began to listen who lets the unfiltered playhead play: to that one, or to any of
    a session that was stopped."""


Observer = Callable[[SessionEvent], None]
"""Is told of each event when it has taken effect. Must not wait."""


class Output(Protocol):
    """Runs as long as a session."""

    async def run(self, session: Session) -> None:
        """Run until cancelled, which is when the session closes. May return before.

        What awaits in its cleanup must be shielded and have a deadline: the session waits for it.
        """
        ...
