"""A stream of frames on a real socket, with a client that reads when we say."""

from contextlib import asynccontextmanager

import trio

from phantomlink.metrics import Histogram
from phantomlink.outputs.websocket.frame_stream import FrameStream
from phantomlink.outputs.websocket.replay_stream import ReplayStream


@asynccontextmanager
async def connected(
    *,
    received=b"",
    max_frames=5,
    max_bytes=10**9,
    send_buffer=4096,
    latency=None,
    behind_seconds=10**6,
    current_seconds=0.0,
    n_head=0,
    reader=None,
):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    client = await trio.testing.open_stream_to_socket_listener(listeners[0])
    client.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    server = await listeners[0].accept()
    server.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, send_buffer)
    frames = FrameStream(
        ReplayStream(server, received),
        max_frames=max_frames,
        max_bytes=max_bytes,
        latency=latency or Histogram(),
        behind_seconds=behind_seconds,
        current_seconds=current_seconds,
        n_head=n_head,
        reader=reader,
    )
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(frames.flush_forever)
            yield frames, client, nursery
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await frames.aclose()
    await client.aclose()
    await listeners[0].aclose()


async def read_all(client):
    data = b""
    while chunk := await client.receive_some():
        data += chunk
    return data
