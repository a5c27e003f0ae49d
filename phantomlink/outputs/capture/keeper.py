"""Keeps a playhead going for a capture that was asked to: a listener to whom nothing is sent."""

from __future__ import annotations

from phantomlink.engine.fanout import Release


class PlayheadKeeper:
    """A listener that takes every packet and does nothing with it: see `Sink`."""

    wire_format = None
    is_listening = True
    is_deferred = True
    transport = "capture"
    dropped = 0
    was_given_up = False
    backlog = None

    def offer_nowait(self, release: Release) -> None:
        """The capture has it by other means."""

    def stream_changed(self) -> None:
        """Nobody needs to be told."""

    def end(self, code: int, reason: str) -> None:
        """The session was stopped: it holds like any without listeners."""
