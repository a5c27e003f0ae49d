"""A worker as the parent has it: its process, its end of the channel, and whether it is alive."""

from __future__ import annotations

import pickle
import socket
import subprocess
from collections import deque
from collections.abc import Sequence

import trio

from phantomlink.cluster.channel import Channel, channel_pair
from phantomlink.cluster.messages import Connection, Start, ToParent
from phantomlink.cluster.worker_process import command
from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.settings import Settings

_LOOK_SECONDS = 0.5
_START_LOOKS = 120
SILENT_LOOKS = 10
"""Looks in a row at a worker that has said nothing: 5 s, whatever the parent itself was kept by."""


class Child:
    """One run of one worker.

    Args:
        node: its name.
        epoch: that it writes records with.
        slots: descriptor of the file with the slots of all workers.
        gently: whether others need the cores while it starts.

    Attributes:
        channel: to it.
        is_ready: whether it can serve.
        failure: why it cannot start; None while nothing of that is known.
        n_promised: sessions that were sent there to be made and are not reserved yet.
    """

    def __init__(self, node: str, epoch: int, slots: int, *, gently: bool) -> None:
        self.node = node
        self.epoch = epoch
        self.is_ready = False
        self.failure: str | None = None
        self.n_promised = 0
        self._silent_looks = 0
        self._has_spoken = False
        self._untaken: deque[tuple[Connection, socket.socket]] = deque()
        ours, theirs = channel_pair()
        self.channel: Channel[ToParent] = Channel(ours, ToParent)  # type: ignore[arg-type]
        passed = (theirs.fileno(), slots)
        self._process = subprocess.Popen(
            command(passed, gently=gently),
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
        )
        theirs.close()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def start(
        self,
        settings: Settings,
        recording: str | None,
        more: Sequence[str],
        *,
        says_what: bool,
        has_nodes: bool,
    ) -> None:
        """Tell it what to serve; see `Start`."""
        self.channel.send_nowait(
            Start(
                self.node,
                self.epoch,
                pickle.dumps(settings),
                recording,
                tuple(more),
                says_what,
                has_nodes,
            )
        )

    def pass_on(self, connection: Connection, sock: socket.socket) -> None:
        """Send it a connection.

        That of a client is kept here until it has been read there: what dies or hangs before takes
        no connection with it.

        Args:
            connection: what is known of it.
            sock: the connection; ours from now on.
        """
        if connection.peer is None:
            self._untaken.append((connection, sock.dup()))
        self.channel.send_nowait(connection, sock)

    def taken(self) -> None:
        """It has read the oldest connection of a client that was sent to it."""
        self._untaken.popleft()[1].close()

    def take_back(self) -> list[tuple[Connection, socket.socket]]:
        """The connections of clients that it has not read; the caller closes them."""
        untaken = list(self._untaken)
        self._untaken.clear()
        return untaken

    def heard(self) -> None:
        """It has said something."""
        self._silent_looks = 0
        self._has_spoken = True

    async def kill_when_silent(self) -> None:
        """Wait until it has been silent for too long, and kill it; until cancelled.

        Before its first word it imports what it needs, for which a busy machine may take long.
        While it opens the recording it beats.
        """
        while self._silent_looks < (SILENT_LOOKS if self._has_spoken else _START_LOOKS):
            await trio.sleep(_LOOK_SECONDS)
            self._silent_looks += 1
        self._process.kill()

    async def end(self) -> None:
        """See its process end, by force if it must be."""
        self._process.kill()
        with trio.CancelScope(shield=True):
            await run_in_thread_patiently(self._process.wait)
        self.channel.close()
