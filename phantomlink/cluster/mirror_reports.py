"""What workers tell of the sessions of other nodes that they play too."""

from __future__ import annotations

from typing import Protocol

from phantomlink.cluster.messages import Answers, MirrorSays


class MirrorReports(Protocol):
    """Who hears it."""

    def hear(self, message: MirrorSays | Answers) -> None:
        """A worker says something."""
        ...

    def gone(self, worker: str) -> None:
        """A worker has ended."""
        ...
