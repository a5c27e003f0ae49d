"""Passes a request on to the node that has the session, and its answer back, as bytes."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import trio

from phantomlink.cluster.passed_stream import PassedStream
from phantomlink.cluster.relay_header import ASK, Relayed, signed, with_header

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 30.0
DIRECTORY_PATH = "/directory-in-reach"
"""Asked by the other nodes, and by nobody else."""
_PIECE_BYTES = 64 * 1024
_LOOK_SECONDS = 0.05
_SILENT = "the node that has the session does not answer"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Unreachable(Exception):  # noqa: N818 - it becomes an answer, 502
    """The other node cannot be reached, or does not answer.

    Args:
        text: what has happened.
        was_sent: whether it may have done what it was asked for.
    """

    def __init__(self, text: str, *, was_sent: bool = False) -> None:
        super().__init__(text)
        self.was_sent = was_sent


class Relay:
    """What passes on.

    Args:
        node: name of this one.
        secret: by which nodes know each other.
    """

    def __init__(self, node: str, secret: str) -> None:
        self._node = node
        self._secret = secret

    def sign(self, received: bytes, purpose: str, peer: str, *, closes: bool) -> bytes:
        """A request as the other node believes it."""
        method, target = received.partition(b"\n")[0].decode("latin-1").split(" ")[:2]
        relayed = Relayed(self._node, int(time.time()), purpose, peer or "unknown")
        value = signed(relayed, method, target, self._secret)
        return with_header(received, value, closes=closes)

    async def pass_on(
        self,
        client: trio.abc.Stream,
        url: str,
        request: bytes,
        is_gone: Callable[[], bool],
        passed: PassedStream | None = None,
    ) -> None:
        """Send a request to another node, and what follows either way, until one side ends.

        Args:
            client: whose request it is.
            url: of the node.
            request: signed.
            is_gone: whether the node has lost its lease: others take over what it has.
            passed: of a WebSocket, what may move it.

        Raises:
            Unreachable: nothing of an answer has come.
        """
        first = b""
        async with _connection(url) as node:
            try:
                await node.send_all(request)
            except trio.BrokenResourceError as error:
                raise Unreachable(f"{_SILENT}: {error}", was_sent=True) from error
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    while True:
                        await trio.sleep(_LOOK_SECONDS)
                        if is_gone():
                            nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                heard = None if passed is None else passed.heard
                nursery.start_soon(_copy, client, node, heard)
                with trio.move_on_after(ANSWER_SECONDS):
                    first = await _received(node)
                # In here: out of the nursery it would come in a group, which nobody expects.
                with suppress(trio.BrokenResourceError):
                    if first and passed is not None:
                        await passed.pass_down(node, client, first)
                    elif first:
                        await client.send_all(first)
                        await _copy(node, client)
                nursery.cancel_scope.cancel()
        if not first:
            raise Unreachable(_SILENT, was_sent=True)

    async def sees_directory(self, url: str) -> bool | None:
        """Whether another node reaches the directory; None where it does not answer."""
        host = urlsplit(url).netloc
        request = f"GET {DIRECTORY_PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        try:
            async with _connection(url) as node:
                await node.send_all(self.sign(request, ASK, "", closes=True))
                answer = bytearray()
                while piece := await _received(node):
                    answer += piece
        except (Unreachable, trio.BrokenResourceError):
            return None
        status = bytes(answer).partition(b" ")[2][:3]
        return {b"200": True, b"503": False}.get(status)


async def _copy(
    source: trio.abc.Stream, to: trio.abc.Stream, heard: Callable[[bytes], None] | None = None
) -> None:
    """Pass bytes on to the end of one side, and tell of each piece."""
    try:
        while piece := await _received(source):
            if heard is not None:
                heard(piece)
            await to.send_all(piece)
        if heard is not None:
            heard(b"")
        if isinstance(to, trio.abc.HalfCloseableStream):
            await to.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


async def _received(source: trio.abc.Stream) -> bytes:
    try:
        return bytes(await source.receive_some(_PIECE_BYTES))
    except trio.BrokenResourceError:
        return b""


@asynccontextmanager
async def _connection(url: str) -> AsyncIterator[trio.abc.Stream]:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    stream: trio.abc.Stream | None = None
    try:
        with trio.move_on_after(CONNECT_SECONDS):
            if parts.scheme == "https":
                context = ssl.create_default_context()
                stream = await trio.open_ssl_over_tcp_stream(host, port, ssl_context=context)
            else:
                stream = await trio.open_tcp_stream(host, port)
    except (OSError, trio.BrokenResourceError) as error:
        raise Unreachable(f"the node that has the session cannot be reached: {error}") from error
    if stream is None:
        raise Unreachable("the node that has the session cannot be reached in time")
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)
