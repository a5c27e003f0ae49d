"""A worker's end of its channel: questions to the parent, and connections to the other workers."""

from __future__ import annotations

import itertools
import os
import socket

import trio

from phantomlink.cluster.channel import Channel
from phantomlink.cluster.messages import Connection, Forget, Reserve, Reserved, ToWorker, Write
from phantomlink.engine.directory import SessionRecord
from phantomlink.errors import SessionElsewhereError, TooManySessionsError, UnavailableError

_ANSWER_SECONDS = 5.0


class Links:
    """What a worker says to the parent.

    Args:
        channel: to the parent.
        node: name of the worker.
    """

    def __init__(self, channel: Channel[ToWorker], node: str) -> None:
        self._channel = channel
        self.node = node
        self.others: tuple[str, ...] = ()
        self._calls = itertools.count()
        self._waiting: dict[int, trio.MemorySendChannel[Reserved]] = {}

    async def reserve(self, code: str) -> None:
        """Have a code for this worker.

        Raises:
            SessionElsewhereError: another one has it.
            TooManySessionsError: there is no room in all of them.
            UnavailableError: its owner is gone, and it has no heir yet.
        """
        call = next(self._calls)
        send, receive = trio.open_memory_channel[Reserved](1)
        self._waiting[call] = send
        try:
            self._channel.send_nowait(Reserve(call, code))
            with trio.fail_after(_ANSWER_SECONDS):
                answer = await receive.receive()
        except trio.TooSlowError:
            raise UnavailableError("the server is busy: try again") from None
        finally:
            del self._waiting[call]
        if answer.node is None:
            error = TooManySessionsError if answer.reason else UnavailableError
            raise error(answer.reason or "the session is being taken over: try again")
        if answer.node != self.node:
            raise SessionElsewhereError("the session is at another process", answer.node)

    def answered(self, answer: Reserved) -> None:
        """The parent has answered."""
        waiting = self._waiting.get(answer.call)
        if waiting is not None:
            waiting.send_nowait(answer)

    def write(self, record: SessionRecord) -> None:
        """A session of this worker is like this now."""
        self._channel.send_nowait(Write(record))

    def forget(self, code: str) -> None:
        """A session of this worker has ended, or was not made after all."""
        self._channel.send_nowait(Forget(code))

    async def written(self) -> None:
        """Wait until what has been said is with the parent: it survives this process."""
        await self._channel.flushed()

    def hand_over(self, stream: trio.SocketStream, received: bytes, node: str | None) -> None:
        """Let another worker have a connection; see `Handover.hand_over`."""
        copy = socket.socket(fileno=os.dup(stream.socket.fileno()))
        self._channel.send_nowait(Connection(received, node), copy)

    def connect(self, node: str, request: bytes, peer: str) -> trio.SocketStream:
        """A connection to another worker, on which a whole request has been sent.

        Args:
            node: which worker.
            request: its head and body.
            peer: address of the client that it is for.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._channel.send_nowait(Connection(request, node, peer), theirs)
        ours.setblocking(False)
        return trio.SocketStream(trio.socket.from_stdlib_socket(ours))
