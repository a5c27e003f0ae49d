"""A stream in ordinary (not async) code."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Self, SupportsFloat, Unpack

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_websocket

from phantomlink.client.errors import ClientError, StreamClosedError
from phantomlink.client.listener import Listener
from phantomlink.client.options import StreamOptions
from phantomlink.client.packet import Packet
from phantomlink.client.receiver import Receiver
from phantomlink.client.request import StreamRequest, make_request
from phantomlink.client.retry import FAILURES
from phantomlink.client.session import Session

_log = logging.getLogger("phantomlink.client")


def connect(
    url: str | None = None,
    *,
    session: Session | str | None = None,
    token: str | None = None,
    decoder: str | None = None,
    reconnect_seconds: float | None = 60.0,
    open_timeout_seconds: float = 10.0,
    **options: Unpack[StreamOptions],
) -> Stream:
    """Listen to a session. Used in a `with` block, which closes the connection::

        with connect(session="my-decoder") as stream:
            for packet in stream:
                vx, vy = decoder.step(packet.counts)
                stream.predict(packet, vx, vy)

    The connection that is lost is opened again, where the close code says that this is of use;
    the `for` goes on as if nothing had been, and `stream.gaps` counts what was missed.

    Args:
        url: of the server (`http://host:port`) or of a stream (`ws://host:port/stream/code`);
            None for the environment's PHANTOM_URL, or else http://127.0.0.1:8000.
        session: the session, or its code: one that does not exist is made. None for a new one
            with a code that the server makes up. A `Session` names its server too.
        token: of the server; None for the environment's PHANTOM_API_TOKEN, if set.
        decoder: name under which the predictions are scored; None for one that the server
            makes up.
        reconnect_seconds: how long to try to come back to a server that is gone; 0 to end at the
            first loss, None never to give up.
        open_timeout_seconds: how long one attempt to connect may take.
        **options: filters (`trial_id`, `target_id`, `reach_id`), what the session is to be
            (`perturbation`, `seed`, `speed`, `bin_size_ms`, ...), and what the stream is to hold
            (`hide`, `decoded`, `scores`): see `StreamOptions`.

    Raises:
        UnreachableError: no server answers.
        RefusedError: the server says no, and why.
        ValueError: an argument has the wrong form.
        TypeError: an option is not known.
    """
    request = make_request(url, session, token, options)
    return Stream(request, Receiver(decoder), reconnect_seconds, open_timeout_seconds)


class Stream(Listener):
    """A connection to a session, or one after another: made by `connect`.

    Receive in one thread; predictions may be sent from another.
    """

    def __init__(
        self,
        request: StreamRequest,
        receiver: Receiver,
        reconnect_seconds: float | None,
        open_timeout_seconds: float,
    ) -> None:
        super().__init__(request, receiver, reconnect_seconds, open_timeout_seconds)
        self._connection = ExitStack()
        try:
            self._open()
        except FAILURES as error:
            raise self._explain(error) from error

    def __iter__(self) -> Iterator[Packet]:
        """Packet after packet, until the recording ends or the session is stopped.

        Raises:
            ClientError: the connection was lost and cannot be had again.
        """
        while True:
            try:
                packet = self.receive()
            except StreamClosedError as error:
                if error.code == 1000:
                    return
                raise
            yield packet

    def receive(self, timeout_seconds: float | None = None) -> Packet:
        """The next packet.

        Args:
            timeout_seconds: how long to wait for it; None for as long as it takes.

        Raises:
            TimeoutError: none came in this time; the session may be paused.
            StreamClosedError: the stream is over; its `code` is 1000 where the recording ended
                or the session was stopped.
            ClientError: the connection was lost and cannot be had again.
        """
        until = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        while True:
            try:
                left = None if until is None else until - time.monotonic()
                raw = self._websocket.recv(left)
            except TimeoutError:
                raise TimeoutError(
                    f"no packet came within {timeout_seconds:g} s: the session may be paused, "
                    "stream.session.position() says so"
                ) from None
            except ConnectionClosed as error:
                self._reconnect(self._explain(error))
                continue
            packet = self._receiver.feed(raw)
            if packet is not None:
                return packet

    def predict(
        self,
        packet: Packet,
        vx: SupportsFloat | None = None,
        vy: SupportsFloat | None = None,
        x: SupportsFloat | None = None,
        y: SupportsFloat | None = None,
        *,
        decoder: str | None = None,
    ) -> None:
        """Send a prediction of a packet's kinematics back, to be scored.

        Where the connection is lost at this moment the prediction is too, and counted in
        `n_unsent`; receiving opens the connection again.

        Args:
            packet: which it is of.
            vx: velocity, in the recording's own units; with vy.
            vy: velocity; with vx.
            x: position, in the recording's own units; with y.
            y: position; with x.
            decoder: name of another decoder than that of `connect`.

        Raises:
            ValueError: neither a velocity nor a position is given whole.
        """
        message = self._receiver.prediction(packet, vx, vy, x, y, decoder)
        try:
            self._websocket.send(message)
        except ConnectionClosed:
            self.n_unsent += 1

    def close(self) -> None:
        """Close the connection. Twice is fine."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        url = self._request.prepare()
        with ExitStack() as stack:
            websocket = stack.enter_context(open_websocket(url, **self._websocket_options()))
            self._receiver.connected()
            self._receiver.feed(websocket.recv(self._open_timeout_seconds))
            self._websocket: ClientConnection = websocket
            self._connection = stack.pop_all()
        self._retry.succeeded()

    def _reconnect(self, error: ClientError) -> None:
        while True:
            wait_seconds = self._retry.seconds_after(error, time.monotonic())
            self.close()
            _log.warning("%s; connecting again in %.1f s", error, wait_seconds)
            time.sleep(wait_seconds)
            self._request.moved(error)
            try:
                self._open()
            except FAILURES as failure:
                error = self._explain(failure)
            else:
                self.n_reconnections += 1
                return
