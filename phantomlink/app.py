"""Builds the ASGI application: `hypercorn --worker-class trio phantomlink.app:app`.

Under asyncio, which is hypercorn's default, it runs Trio in a thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import sniffio
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, Scope
from quart_trio import QuartTrio

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.asgi.asyncio_bridge import AsyncioBridge
from phantomlink.asgi.http import answer_http
from phantomlink.asgi.lifespan import Lifespan, leaving_when_refused
from phantomlink.asgi.stream import serve_websocket
from phantomlink.errors import SettingsError, UnavailableError
from phantomlink.outputs.view.entrance import ViewEntrance
from phantomlink.rest.dispatch import Answering, Dispatch
from phantomlink.rest.table import RouteTable
from phantomlink.rest.views import view_entrance
from phantomlink.service.ownership import Ownership
from phantomlink.service.service import Service
from phantomlink.settings import Settings
from phantomlink.settings.load import load_settings
from phantomlink.web.static_files import static_files


class PhantomLinkApp(QuartTrio):
    """The application. Its service is there once it has started.

    The framework is its shell: what servers, tests and users know how to start. It answers no
    route; requests go to `dispatch`.

    Args:
        settings: what the server was told; None to read the environment at the start.
        recording: path or dataset name; None for the one that the settings name.
        more: paths or names of further datasets.
        ownership: where several processes serve sessions, which makes which; None for one.
    """

    asgi_lifespan_class = Lifespan  # type: ignore[assignment]

    def __init__(
        self,
        settings: Settings | None = None,
        recording: str | None = None,
        *,
        more: Sequence[str] = (),
        ownership: Ownership | None = None,
    ) -> None:
        super().__init__("phantomlink", static_folder=None)
        self._settings = settings
        self._recording = recording
        self._more = tuple(more)
        self._ownership = ownership
        self._service: Service | None = None
        self._views: ViewEntrance | None = None
        self._bridge = AsyncioBridge(self)
        self._early_policy: AccessPolicy | None = None
        self.dispatch: Answering = Dispatch(self, RouteTable())
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

    def get_service(self) -> Service:
        """The running service.

        Raises:
            UnavailableError: the application has not started.
        """
        if self._service is None:
            raise UnavailableError("the server is starting: try again")
        return self._service

    def get_views(self) -> ViewEntrance:
        """Who may watch sessions.

        Raises:
            UnavailableError: the application has not started.
        """
        if self._views is None:
            raise UnavailableError("the server is starting: try again")
        return self._views

    def get_access_policy(self) -> AccessPolicy:
        """What lets requests in; also before the start, when there is little to be let in to.

        Raises:
            SettingsError: the environment has a setting of the wrong form.
        """
        if self._service is not None:
            return self._service.policy
        if self._early_policy is None:
            self._early_policy = AccessPolicy(self.get_settings())
        return self._early_policy

    def get_settings(self) -> Settings:
        """What the server was told.

        Raises:
            SettingsError: the environment has a setting of the wrong form.
        """
        if self._settings is None:
            self._settings = load_settings()
            if self._settings.cluster_url is not None:
                raise SettingsError(
                    "PHANTOM_CLUSTER_URL: takes none under another ASGI server; for several nodes, "
                    "run `phantomlink serve`"
                )
            if self._settings.processes != 1:
                raise SettingsError(
                    f"PHANTOM_PROCESSES: got {self._settings.processes}, takes 1 under another "
                    "ASGI server; for more, run `phantomlink serve`"
                )
        return self._settings

    async def run_service(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run the service until it is stopped; it can be asked once this has started.

        Raises:
            SettingsError: the environment has a setting of the wrong form.
            RecordingError: the recording cannot be opened.
        """
        self._service = Service(
            self.get_settings(), self._recording, more=self._more, ownership=self._ownership
        )
        self._views = view_entrance(self._service)
        # Before the first page asks for them.
        await trio.to_thread.run_sync(static_files)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._views.run)
            await self._service.run(task_status)
            nursery.cancel_scope.cancel()

    async def _start(self) -> None:
        # Not a background task of the framework's making: a failure there takes the application
        # down while its port keeps answering. The registry lets no session's failure out.
        if self._service is None:
            await self.nursery.start(self.run_service)

    async def _stop(self) -> None:
        if self._views is not None:
            self._views.shut_down()
        if self._service is not None:
            self._service.stop()


def create_app(settings: Settings | None = None, recording: str | None = None) -> PhantomLinkApp:
    """The application, not started yet; see `PhantomLinkApp`."""
    return PhantomLinkApp(settings, recording)


app = create_app()
