"""The server with its streams replaced by an echo, for a judge of WebSocket conformance.

Run as `python -m tests.conformance.echo serve`, which is `phantomlink serve`, or served by
hypercorn as `tests.conformance.echo:app`. With several processes each worker is run as this module,
too. No setting of the product leads here: this file is not installed with it.

Everything is the product's but what is said on an accepted stream: the port, the reading of the
head, admission, the session, the handshake, `FrameStream` with its flusher, trio-websocket for
control frames and closing; under hypercorn the guard, the application and its Quart WebSocket. So
what Autobahn's cases pass or fail is what a stream's client meets. Only the limit for what a
client may say is raised: the cases send up to 16 MiB.
"""

from __future__ import annotations

import sys

import trio_websocket

import phantomlink.app
import phantomlink.asgi.stream
import phantomlink.outputs.websocket.client
from phantomlink.cli import main
from phantomlink.cluster import worker_process
from phantomlink.wire.encoder import frame_message

MAX_MESSAGE_BYTES = 32 * 2**20
# Longer ones would not fit the queue for a slow client, which drops what does not.
_PACKET_BYTES = 2 * 2**20


async def echo_frames(websocket, frames, *_):
    """In place of a session's packets on a stream of `phantomlink serve`.

    Small messages are taken out of the stream before trio-websocket, as predictions are.
    """
    frames.max_frames = 10**9
    frames.receive_with(SmallMessages(frames))
    try:
        while True:
            send(frames, await websocket.get_message())
    except trio_websocket.ConnectionClosed:
        return


class SmallMessages:
    """Echoes what is taken out of the stream."""

    def __init__(self, frames):
        self._frames = frames

    def receive(self, payload, is_text, received_ns):
        send(self._frames, payload.decode() if is_text else payload)

    def pause_seconds(self, now_ns):
        return 0.0


def send(frames, message):
    frame = frame_message(message)
    # As packets go, or as the first message of a connection goes.
    if len(frame) <= _PACKET_BYTES:
        frames.offer_nowait(frame)
    else:
        frames.put_nowait(frame)


async def echo_messages(websocket, *_, **__):
    """In place of a session's packets on a stream behind another ASGI server."""
    while True:
        await websocket.send(await websocket.receive())


async def take_long_messages(nursery, stream, **options):
    """In place of trio-websocket's `wrap_server_stream`, with its limit raised."""
    return await _wrap_server_stream(
        nursery, stream, **(options | {"max_message_size": MAX_MESSAGE_BYTES})
    )


_wrap_server_stream = trio_websocket.wrap_server_stream
trio_websocket.wrap_server_stream = take_long_messages
phantomlink.outputs.websocket.client._stream_session = echo_frames
phantomlink.asgi.stream.serve_asgi_client = echo_messages
app = phantomlink.app.create_app()

if __name__ == "__main__":
    worker_process.MODULE = "tests.conformance.echo"
    sys.exit(main() if sys.argv[1] == "serve" else worker_process.main())
