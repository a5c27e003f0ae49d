"""What the member of a cluster asks of the node that it is part of, and tells it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from phantomlink.engine.directory import SessionRecord


class NodeSessions(Protocol):
    """What a node has, whichever of its processes plays it. Anchors are on the machine's clock."""

    def records(self) -> list[SessionRecord]:
        """Of all its sessions."""
        ...

    def room(self) -> int:
        """For how many more there is room."""
        ...

    def digests(self) -> Collection[str]:
        """SHA-256 of the datasets that it can play."""
        ...

    def inherit(self, records: Sequence[SessionRecord]) -> None:
        """Go on with sessions that are its own now."""
        ...

    def give_up(self, codes: Sequence[str], moved_to: str | None = None) -> None:
        """End sessions here that others have."""
        ...

    def mirrored(self, tickets: Mapping[str, tuple[str, ...]]) -> None:
        """Which other nodes play which of its sessions too, by code; asked for at each renewal."""
        ...

    def standing_changed(self) -> None:
        """The lease goes on, or does not any more; or other nodes have come or gone."""
        ...
