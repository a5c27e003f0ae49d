"""What every way of serving serves: a service, its views and the routes that answer for them.

It is made in one place, here, and knows no server: `phantomlink serve` has one of its own, and
`phantomlink.app` is its form for ASGI servers.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.errors import SettingsError, UnavailableError
from phantomlink.outputs.view.entrance import ViewEntrance
from phantomlink.rest.dispatch import Answering, Dispatch
from phantomlink.rest.table import RouteTable, load_all
from phantomlink.rest.views import view_entrance
from phantomlink.service.ownership import Ownership
from phantomlink.service.service import Service
from phantomlink.settings import Settings
from phantomlink.settings.load import load_settings


class Application:
    """The application. Its service is there once `run_service` has started.

    Args:
        settings: what the server was told; None to read the environment at the start.
        recording: path or dataset name; None for the one that the settings name.
        more: paths or names of further datasets.
        ownership: where several processes serve sessions, which makes which; None for one.

    Attributes:
        dispatch: answers requests.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        recording: str | None = None,
        *,
        more: Sequence[str] = (),
        ownership: Ownership | None = None,
    ) -> None:
        self._settings = settings
        self._recording = recording
        self._more = tuple(more)
        self._ownership = ownership
        self._service: Service | None = None
        self._views: ViewEntrance | None = None
        self._early_policy: AccessPolicy | None = None
        # The other processes do not wait for an answer that has to be loaded first.
        table = RouteTable(load_all=load_all) if ownership is None else RouteTable(load_all())
        self.dispatch: Answering = Dispatch(self, table)

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
        async with trio.open_nursery() as nursery:
            await nursery.start(self._views.run)
            await self._service.run(task_status)
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """End every view and session, and `run_service`."""
        if self._views is not None:
            self._views.shut_down()
        if self._service is not None:
            self._service.stop()
