"""Builds the ASGI application: `hypercorn --worker-class trio phantomlink.app:app`.

Under asyncio, which is hypercorn's default, it runs Trio in a thread.
"""

from __future__ import annotations

import sniffio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart_trio import QuartTrio

from phantomlink.application import Application
from phantomlink.asgi.asyncio_bridge import AsyncioBridge
from phantomlink.asgi.http import answer_http
from phantomlink.asgi.lifespan import Lifespan, leaving_when_refused
from phantomlink.asgi.stream import serve_websocket
from phantomlink.settings import Settings


class PhantomLinkApp(Application, QuartTrio):
    """The application as ASGI servers, tests and users know how to start one.

    The framework is its shell: it answers no route; requests go to `dispatch`.

    Args:
        settings: see `Application`.
        recording: see `Application`.
    """

    asgi_lifespan_class = Lifespan  # type: ignore[assignment]

    def __init__(self, settings: Settings | None = None, recording: str | None = None) -> None:
        Application.__init__(self, settings, recording)
        QuartTrio.__init__(self, "phantomlink", static_folder=None)
        self._bridge = AsyncioBridge(self)
        self.before_serving(self._start)
        self.after_serving(self._stop)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Answer one call of an ASGI server."""
        if sniffio.current_async_library() == "asyncio":
            await self._bridge(scope, receive, leaving_when_refused(send))
        elif scope["type"] == "lifespan":
            await super().__call__(scope, receive, send)
        elif scope["type"] == "http":
            await answer_http(self, scope, receive, send)
        else:
            await serve_websocket(self, scope, receive, send)

    async def _start(self) -> None:
        # Not a background task of the framework's making: a failure there takes the application
        # down while its port keeps answering. The registry lets no session's failure out.
        if self._service is None:
            await self.nursery.start(self.run_service)

    async def _stop(self) -> None:
        # Async, since the framework calls other functions in a thread.
        self.stop()


def create_app(settings: Settings | None = None, recording: str | None = None) -> PhantomLinkApp:
    """The application, not started yet; see `PhantomLinkApp`."""
    return PhantomLinkApp(settings, recording)


app = create_app()
