"""A worker's end of its channel: questions to the parent, and connections to the other workers."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Callable

import msgspec
import trio

from phantomlink.cluster.channel import Channel
from phantomlink.cluster.messages import (
    Answers,
    Connection,
    Forget,
    GiveBack,
    MirrorSays,
    Reserve,
    Reserved,
    Standing,
    Sync,
    Synced,
    ToWorker,
    Write,
)
from phantomlink.engine.directory import SessionRecord
from phantomlink.errors import SessionElsewhereError, TooManySessionsError, UnavailableError

_ANSWER_SECONDS = 5.0


class Links:
    """What a worker says to the parent.

    Args:
        channel: to the parent.
        node: name of the worker.
        has_nodes: whether there are other nodes.

    Attributes:
        node: as given.
        others: names of the other workers, those of other nodes too.
        standing: of the node and the directory of all nodes; None where there are no other nodes.
    """

    def __init__(self, channel: Channel[ToWorker], node: str, *, has_nodes: bool) -> None:
        self._channel = channel
        self.node = node
        self.standing = Standing(-1, False, "up", 0) if has_nodes else None
        self.others: tuple[str, ...] = ()
        self._calls = itertools.count()
        self._waiting: dict[int, trio.MemorySendChannel[Reserved | Synced]] = {}

    async def reserve(self, code: str) -> None:
        """Have a code for this worker.

        Raises:
            SessionElsewhereError: another one has it.
            TooManySessionsError: there is no room in all of them.
            UnavailableError: its owner is gone, and it has no heir yet.
        """
        answer = await self._ask(lambda call: Reserve(call, code))
        assert isinstance(answer, Reserved)
        if answer.node is None and answer.reason:
            raise TooManySessionsError(answer.reason)
        if answer.node is None:
            raise UnavailableError(answer.away or "the session is being taken over: try again")
        if answer.node != self.node:
            raise SessionElsewhereError("the session is at another process", answer.node)

    async def _ask(self, question: Callable[[int], msgspec.Struct]) -> Reserved | Synced:
        """What the parent answers.

        Raises:
            UnavailableError: it does not in time.
        """
        call = next(self._calls)
        send, receive = trio.open_memory_channel[Reserved | Synced](1)
        self._waiting[call] = send
        try:
            self._channel.send_nowait(question(call))
            with trio.fail_after(_ANSWER_SECONDS):
                return await receive.receive()
        except trio.TooSlowError:
            raise UnavailableError("the server is busy: try again") from None
        finally:
            del self._waiting[call]

    def check_may_change(self) -> None:
        """See that sessions may be made and steered now.

        Raises:
            UnavailableError: the directory of the nodes is away.
        """
        if self.standing is not None and not self.standing.may_change:
            raise UnavailableError(
                "the directory of the nodes cannot be reached: streams go on, nothing can be "
                "changed; try again"
            )

    def answered(self, answer: Reserved | Synced) -> None:
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

    def give_back(self, code: str) -> None:
        """A session that was given to this worker cannot be here."""
        self._channel.send_nowait(GiveBack(code))

    def say_mirror(self, says: MirrorSays) -> None:
        """How a session of another node fares here."""
        self._channel.send_nowait(says)

    def say_answers(self, code: str, address: str) -> None:
        """A client of a session of another node answers."""
        self._channel.send_nowait(Answers(code, address))

    async def written(self) -> None:
        """Wait until what has been said is with the parent, and in the directory of all nodes.

        Raises:
            UnavailableError: it is done here, and lost if this node dies now.
        """
        await self._channel.flushed()
        if self.standing is not None:
            answer = await self._ask(Sync)
            if isinstance(answer, Synced) and not answer.is_written:
                raise UnavailableError(
                    "it is done, but the directory of the nodes has not taken it: try again"
                )

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
