"""What a stream is in either form, sync and async: what it has said, and how it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from websockets.typing import Subprotocol

from phantomlink.client.errors import ClientError
from phantomlink.client.gaps import Gaps
from phantomlink.client.packet import StreamInfo
from phantomlink.client.receiver import Receiver
from phantomlink.client.request import StreamRequest
from phantomlink.client.retry import Retry, explain
from phantomlink.client.session import Session

_SUBPROTOCOLS = ("phantomlink.v2.msgpack", "phantomlink.v1.msgpack")
"""Those offered, the one liked best first: compact packets, then those that every server has."""

_MAX_QUEUED = 64
"""Messages that wait for the program. While it is full no answer to our close is read."""

_CLOSE_SECONDS = 0.2
"""How long a connection that we close waits for the server to say so too."""

_MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Of a message that is taken: the metadata of a recording with very many units."""


class Listener:
    """A connection to a session, or one after another.

    Args:
        request: what was asked for.
        receiver: reads the messages.
        reconnect_seconds: how long to try to come back; None for ever.
        open_timeout_seconds: how long one attempt to connect may take.

    Attributes:
        n_reconnections: how often the connection was opened again.
        n_unsent: predictions that found no connection to be sent over.
    """

    def __init__(
        self,
        request: StreamRequest,
        receiver: Receiver,
        reconnect_seconds: float | None,
        open_timeout_seconds: float,
    ) -> None:
        self._request = request
        self._receiver = receiver
        self._retry = Retry(reconnect_seconds)
        self._open_timeout_seconds = open_timeout_seconds
        self.n_reconnections = 0
        self.n_unsent = 0

    @property
    def info(self) -> StreamInfo:
        """What the stream is: dataset, units, rate, and more."""
        return self._receiver.info

    @property
    def gaps(self) -> Gaps:
        """How many packets came, and how many were lost."""
        return self._receiver.gaps

    @property
    def last_score(self) -> Mapping[str, Any] | None:
        """What the server said of the predictions after the last trial (`scores=True`)."""
        return self._receiver.last_score

    @property
    def session(self) -> Session:
        """The session, to be steered. Its methods block, see `Session`."""
        address = self._request.address
        return Session(self.info.session_code, address.http_url, token=address.token)

    def _websocket_options(self) -> dict[str, Any]:
        """How the WebSocket is opened, for websockets' `connect`."""
        address = self._request.address
        return {
            "subprotocols": [Subprotocol(name) for name in _SUBPROTOCOLS],
            "additional_headers": address.headers,
            "compression": None,
            "proxy": None if address.is_local else True,
            "open_timeout": self._open_timeout_seconds,
            "close_timeout": _CLOSE_SECONDS,
            "max_size": _MAX_MESSAGE_BYTES,
            "max_queue": _MAX_QUEUED,
        }

    def _explain(self, error: BaseException) -> ClientError:
        return explain(error, self._request.address.http_url)
