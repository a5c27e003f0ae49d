"""The front of the server in this process, and a client that reads its answers with h11."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import h11
import trio

from phantomlink.app import create_app
from phantomlink.server import front as server
from phantomlink.settings import Settings

LOCAL_ORIGIN = "Origin: http://localhost:3000\r\n"
ROUTES = (
    "/health",
    "/livez",
    "/readyz",
    "/metrics",
    "/api/stats",
    "/api/sessions",
    "/api/stats/a",
    "/api/sessions/a",
    "/api/control/a/position",
    "/api/sessions/a/timing",
    "/api/sessions/a/timing?format=json&_x=1",
    "/api/sessions/a/timing?format=text",
)


def request(path, headers="", *, method="GET", body=""):
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}".encode()


def create(code):
    body = json.dumps({"custom_code": code})
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return request("/api/sessions/create", headers, method="POST", body=body)


class Client:
    """One connection; h11 reads the answers, and would notice if one were torn."""

    def __init__(self, stream):
        self.stream = stream
        self._rest = b""

    async def answer(self, method="GET"):
        """(status, headers in order, body) of the next answer; None when the server closed."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        parser.send(h11.EndOfMessage())
        if self._rest:
            parser.receive_data(self._rest)
        head, body = None, b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = bytes(await self.stream.receive_some(65536))
                if not data and head is None:
                    return None
                parser.receive_data(data)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._rest = parser.trailing_data[0]
                return head.status_code, list(head.headers.raw_items()), body

    async def ask(self, path, headers="", *, method="GET"):
        await self.stream.send_all(request(path, headers, method=method))
        return await self.answer(method)


class Front:
    """The front in this process."""

    def __init__(self, app, settings):
        self.app = app
        self.server = server.Server(app, settings)
        self.address = None

    @asynccontextmanager
    async def client(self):
        stream = await trio.open_tcp_stream(*self.address)
        async with stream:
            yield Client(stream)


@asynccontextmanager
async def fronting(recording, nursery):
    """A front that listens on any port, with a session `a`."""
    settings = Settings(max_sessions=200)
    app = create_app(settings, str(recording))
    async with app.test_app():
        app.get_service().registry.create("a")
        front = Front(app, settings)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        front.address = listeners[0].socket.getsockname()
        serving = trio.CancelScope()

        async def run(task_status):
            with serving:
                await front.server.run(listeners, task_status)

        await nursery.start(run)
        yield front
        serving.cancel()
