"""Who has what a WebSocket client sends, as the stream that reads it sees them."""

from __future__ import annotations

from typing import Protocol


class MessageReceiver(Protocol):
    """Has the messages of one client."""

    def receive(self, payload: bytes, is_text: bool, received_ns: int) -> None:
        """A message has come.

        Args:
            payload: of the message; of a text it is UTF-8.
            is_text: whether it is one.
            received_ns: when its last byte was read, monotonic ns.
        """
        ...

    def pause_seconds(self, now_ns: int) -> float:
        """How long the client is not to be read from."""
        ...
