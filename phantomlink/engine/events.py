"""What happens to a session between packets, as one stream of small records.

A follower is called when an event has taken effect, before whatever caused it returns: no packet
leaves in between. So it knows which packets are of before and which of after.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from phantomlink.recordings.trials import Filter

logger = logging.getLogger(__name__)

NO_FILTER = Filter()


class SessionEventKind(Enum):
    """What happened."""

    CREATED = "created"
    PAUSED = "pause"
    RESUMED = "resume"
    SOUGHT = "seek"
    PACED = "speed"
    PERTURBED = "perturbation"
    STOPPED = "stop"
    STALLED = "stall"
    """A playhead was too late to catch up: its deadlines moved. `filter` says which."""
    ANCHORED = "anchor"
    """The deadlines of a playhead begin. `filter` says of which."""
    ENDED = "end"
    """A playhead has played its last bin and does not loop. `filter` says which."""
    LISTENER_CAME = "listener_came"
    LISTENER_LEFT = "listener_left"
    CAPTURE = "capture"
    DATASET = "dataset"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PlayheadPosition:
    """The next packet of a playhead.

    Attributes:
        bin_index: its `packet_id`.
        sequence_number: of it.
        loop: times the playhead has wrapped.
    """

    bin_index: int
    sequence_number: int
    loop: int


@dataclass(frozen=True, slots=True)
class SessionEvent:
    """One event of one session.

    Attributes:
        kind: what happened.
        code: of the session.
        at_ns: when, monotonic ns.
        position: of the playhead of `filter`: the first packet that the event affects.
        filter: the playhead that it happened to; of what happens to all, the unfiltered one.
        starts_main: whether it is a listener that lets the unfiltered playhead play: it came to
            that one, or to any of a session that was stopped.
        detail: what whoever announced it says of it: an id, a name; "" where there is nothing.
    """

    kind: SessionEventKind
    code: str
    at_ns: int
    position: PlayheadPosition
    filter: Filter = NO_FILTER
    starts_main: bool = False
    detail: str = ""


EventFollower = Callable[[SessionEvent], None]
"""Is told of each event when it has taken effect. Must not wait."""


class EventStream:
    """Those who follow some events, in the order in which they came."""

    def __init__(self) -> None:
        self._followers: dict[EventFollower, None] = {}

    @contextmanager
    def followed_by(self, follower: EventFollower) -> Iterator[None]:
        """Tell `follower` of every event until left."""
        self._followers[follower] = None
        try:
            yield
        finally:
            self._followers.pop(follower, None)

    def tell(self, event: SessionEvent) -> None:
        """Tell everybody.

        A follower that raises has a bug of ours in it. It must not keep a session from what it is
        doing, so this is a boundary: it is logged once, and is told nothing more.
        """
        for follower in list(self._followers):
            try:
                follower(event)
            except Exception:
                logger.exception("A follower of session events failed: %r", follower)
                self._followers.pop(follower, None)
