"""The receiver on real sockets: what arrives in pieces, and what is not a packet."""

import socket
import struct
import threading
import time
from contextlib import contextmanager, suppress

import msgpack
import numpy as np
import psutil
import pytest

from phantomlink.wire.encoder import frame_message as frame
from tests.waiting import until
from tools.bench.harness.arrivals import arrivals
from tools.bench.harness.children import Child, ChildError
from tools.bench.harness.frames import FrameError
from tools.bench.harness.receiver import Stream, receive_many, receive_one
from tools.bench.jitter.compute import computing

UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def message(n: int) -> bytes:
    data = {"packet_id": n % 4, "sequence_number": n, "timestamp": n / 8, "filling": "x" * n}
    return msgpack.packb({"type": "data", "data": data})


METADATA = frame(msgpack.packb({"type": "metadata", "data": {"packet_id": 0}}))


@contextmanager
def server(*pieces: bytes, then=None):
    """A server that answers one client with `pieces`, one send each, then `then(connection)`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.recv(4096)
                # A client that has what it wants may leave before everything is sent.
                with suppress(BrokenPipeError, ConnectionResetError):
                    for piece in pieces:
                        connection.sendall(piece)
                if then is not None:
                    then(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def never(_now_ns: int) -> bool:
    return False


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_packets_are_read_whatever_pieces_they_come_in(size: int) -> None:
    whole = UPGRADED + METADATA + b"".join(frame(message(n)) for n in range(200))
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    with server(*pieces) as port:
        stream = Stream("127.0.0.1", port, "/stream/binary/a", keeps=True)
        receive_one(stream, never)
        stream.socket.close()
    assert stream.payloads == [message(n) for n in range(200)]
    assert stream.sequence.tolist() == list(range(200))
    assert stream.packet_id.tolist() == [n % 4 for n in range(200)]
    assert stream.timestamp.tolist() == [n / 8 for n in range(200)]
    assert stream.n_bytes == len(whole)
    assert stream.closed == "the server closed the connection"
    assert np.all(np.diff(stream.arrival_ns) >= 0)


def test_many_connections_are_read_in_one_process() -> None:
    packets = b"".join(frame(message(n)) for n in range(50))
    with server(UPGRADED, METADATA, packets) as first, server(UPGRADED + packets) as second:
        streams = [Stream("127.0.0.1", port, "/stream/binary/a") for port in (first, second)]
        receive_many(streams, never)
        for stream in streams:
            stream.socket.close()
    assert [stream.sequence.tolist() for stream in streams] == [list(range(50))] * 2
    assert min(streams[0].waited_ns) >= 0


def test_a_ping_is_answered_and_a_close_is_told() -> None:
    answers = []
    pinged = b"\x89\x02hi" + frame(message(0))

    def hear_pong_and_close(connection: socket.socket) -> None:
        answers.append(connection.recv(100))
        connection.sendall(b"\x88\x02" + struct.pack(">H", 4408))

    with server(UPGRADED, pinged, then=hear_pong_and_close) as port:
        stream = Stream("127.0.0.1", port, "/")
        receive_one(stream, never)
        stream.socket.close()
    assert answers == [b"\x8a\x82\0\0\0\0hi"]
    assert stream.closed == "the server closed the stream with 4408"
    assert stream.sequence.tolist() == [0]


def test_a_refusal_is_told_with_the_servers_words() -> None:
    refusal = b"HTTP/1.1 503 \r\ncontent-length: 20\r\n\r\n" + b"too many sessions..."
    with server(refusal) as port:
        stream = Stream("127.0.0.1", port, "/")
        with pytest.raises(FrameError, match=r"503.*too many sessions"):
            receive_one(stream, never)
        stream.socket.close()


@pytest.mark.parametrize("n_connections", [1, 3])
def test_the_bare_loop_and_the_receiver_lose_nothing(n_connections: int) -> None:
    packets = [message(n) for n in range(5)]
    config = {"packets": packets, "rate_hz": "400", "margin_ns": 200_000}
    config["connections"] = n_connections
    with Child("jitter.floor", config) as floor:
        address = {"host": "127.0.0.1", "paths": [None] * n_connections} | floor.read(20)
        with Child("harness.receiver", address) as receiver:
            assert len(receiver.read(20)["first_packet_ns"]) == n_connections
            # Long enough that each has had some.
            told, again = (
                receiver.ask({"end_ns": time.monotonic_ns() + 50_000_000}, 20) for _ in range(2)
            )
    # The next slice is told without what came before, and nothing is lost in between.
    assert all(each.sequence.size for each in arrivals(again))
    assert (told["n_gaps"], again["n_gaps"]) == (0, 0)
    found = arrivals(told, wall_clock=False)
    for each in found:
        n = len(each.sequence)
        assert n >= 2
        assert each.sequence.tolist() == list(range(n))
        assert each.packet_id.tolist() == [i % 5 for i in range(n)]
        # The bare loop stamps CLOCK_MONOTONIC before it writes, the receiver after it has read.
        assert np.all(each.stamp_ns <= each.arrival_ns)
    # One after another, a part of the period apart: none of them in the same tick.
    first_stamps = [each.stamp_ns[0] for each in found]
    assert first_stamps == sorted(set(first_stamps))
    assert told["closed"] == [None] * n_connections


def test_a_child_that_fails_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = {"host": "127.0.0.1", "port": port, "paths": [None]}
    with (
        Child("harness.receiver", config) as receiver,
        pytest.raises(ChildError, match=r"receiver: .*refused"),
    ):
        receiver.read(20)


def test_so_many_compute_until_they_are_stopped() -> None:
    def processes() -> list[psutil.Process]:
        return [each for each in psutil.Process().children() if "jitter.compute" in each.cmdline()]

    with computing(2):
        started = processes()
        assert len(started) == 2
        until(lambda: min(sum(p.cpu_times()[:2]) for p in started) >= 0.2, "computing")
    assert processes() == []
