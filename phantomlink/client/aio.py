"""The client for asyncio: the same names as in `phantomlink.client`, to be awaited.

async with aio.connect(session="my-decoder") as stream:
    async for packet in stream:
        vx, vy = decoder.step(packet.counts)
        await stream.predict(packet, vx, vy)
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, SupportsFloat, Unpack

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

from phantomlink.client import collecting
from phantomlink.client.collecting import Collected
from phantomlink.client.errors import ClientError, StreamClosedError
from phantomlink.client.listener import Listener
from phantomlink.client.options import SessionOptions, StreamOptions
from phantomlink.client.packet import Packet
from phantomlink.client.receiver import Receiver
from phantomlink.client.request import StreamRequest, make_request
from phantomlink.client.retry import FAILURES
from phantomlink.client.session import Session

__all__ = ["Stream", "collect", "connect"]

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
    """Listen to a session. Used in an `async with` block, which connects and closes.

    Arguments and errors are those of `phantomlink.client.connect`; those of the connection are
    raised on entering the block.
    """
    request = make_request(url, session, token, options)
    return Stream(request, Receiver(decoder), reconnect_seconds, open_timeout_seconds)


class Stream(Listener):
    """A connection to a session, or one after another: made by `connect`.

    Receive in one task. Any method that is cancelled leaves the connection as it was: no packet
    is lost by it.
    """

    def __init__(
        self,
        request: StreamRequest,
        receiver: Receiver,
        reconnect_seconds: float | None,
        open_timeout_seconds: float,
    ) -> None:
        super().__init__(request, receiver, reconnect_seconds, open_timeout_seconds)
        self._connection = AsyncExitStack()

    async def __aiter__(self) -> AsyncIterator[Packet]:
        """Packet after packet, until the recording ends or the session is stopped.

        Raises:
            ClientError: the connection was lost and cannot be had again.
        """
        while True:
            try:
                packet = await self.receive()
            except StreamClosedError as error:
                if error.code == 1000:
                    return
                raise
            yield packet

    async def receive(self) -> Packet:
        """The next packet. For a limit of time use `asyncio.timeout`.

        Raises:
            StreamClosedError: the stream is over; its `code` is 1000 where the recording ended
                or the session was stopped.
            ClientError: the connection was lost and cannot be had again.
        """
        while True:
            try:
                raw = await self._websocket.recv()
            except ConnectionClosed as error:
                await self._reconnect(self._explain(error))
                continue
            packet = self._receiver.feed(raw)
            if packet is not None:
                return packet

    async def predict(
        self,
        packet: Packet,
        vx: SupportsFloat | None = None,
        vy: SupportsFloat | None = None,
        x: SupportsFloat | None = None,
        y: SupportsFloat | None = None,
        *,
        decoder: str | None = None,
    ) -> None:
        """Send a prediction back: see `phantomlink.client.Stream.predict`."""
        message = self._receiver.prediction(packet, vx, vy, x, y, decoder)
        try:
            await self._websocket.send(message)
        except ConnectionClosed:
            self.n_unsent += 1

    async def close(self) -> None:
        """Close the connection. Twice is fine."""
        await self._connection.aclose()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except FAILURES as error:
            raise self._explain(error) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        url = await asyncio.to_thread(self._request.prepare)
        async with AsyncExitStack() as stack:
            websocket = await stack.enter_async_context(
                open_websocket(url, **self._websocket_options())
            )
            self._receiver.connected()
            async with asyncio.timeout(self._open_timeout_seconds):
                self._receiver.feed(await websocket.recv())
            self._websocket: ClientConnection = websocket
            self._connection = stack.pop_all()
        self._retry.succeeded()

    async def _reconnect(self, error: ClientError) -> None:
        while True:
            wait_seconds = self._retry.seconds_after(error, time.monotonic())
            await self.close()
            _log.warning("%s; connecting again in %.1f s", error, wait_seconds)
            await asyncio.sleep(wait_seconds)
            self._request.moved(error)
            try:
                await self._open()
            except FAILURES as failure:
                error = self._explain(failure)
            else:
                self.n_reconnections += 1
                return


async def collect(
    url: str | None = None,
    *,
    trials: int | Iterable[int] | None = None,
    target: int | None = None,
    reach: int | None = None,
    session: str | None = None,
    token: str | None = None,
    **options: Unpack[SessionOptions],
) -> Collected:
    """Training data as arrays: see `phantomlink.client.collect`.

    It is done in a thread. One that is cancelled tells the thread to end, and does not wait.
    """
    ended = threading.Event()
    try:
        return await asyncio.to_thread(
            collecting.collect_until,
            ended,
            url,
            trials=trials,
            target=target,
            reach=reach,
            session=session,
            token=token,
            options=options,
        )
    finally:
        ended.set()
