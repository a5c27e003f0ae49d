"""A dataset that a server has open."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from phantomlink.engine.open_recording import OpenRecording
from phantomlink.errors import PhantomLinkError
from phantomlink.recordings.catalogue.datasets import Dataset


@dataclass(eq=False)
class HeldDataset:
    """A dataset that is open, or being opened.

    Attributes:
        dataset: which.
        done: set when it is open or has failed.
        opened: when it is open.
        error: why it could not be opened.
        scope: of its opening and of what looks after it.
        pins: requests that use it now.
        last_used: when one last did.
        began: when its opening did.
    """

    dataset: Dataset
    began: float
    last_used: float
    done: trio.Event = field(default_factory=trio.Event)
    opened: OpenRecording | None = None
    error: PhantomLinkError | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    pins: int = 0

    @property
    def progress(self) -> str:
        """How far its opening is."""
        return f"is being opened, for {trio.current_time() - self.began:.1f} s now"
