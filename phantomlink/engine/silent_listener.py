"""A listener to whom nothing is sent: it keeps a playhead going."""

from __future__ import annotations

from phantomlink.engine.fanout import Release


class SilentListener:
    """Takes every packet and does nothing with it: see `Sink`.

    Args:
        transport: under which name its packets are counted.
    """

    wire_format = None
    is_listening = True
    is_deferred = True
    dropped = 0
    was_given_up = False
    backlog = None

    def __init__(self, transport: str) -> None:
        self.transport = transport

    def offer_nowait(self, release: Release) -> None:
        """Nobody has it."""

    def stream_changed(self) -> None:
        """Nobody needs to be told."""

    def end(self, code: int, reason: str) -> None:
        """There is no connection to close."""
