"""BRAND streams as a kind of output: what the composition root names."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import trio

from phantomlink.engine.session import Session
from phantomlink.errors import SettingsError
from phantomlink.outputs.redis.output import BrandOutput
from phantomlink.outputs.redis.sink import BRAND
from phantomlink.settings import Settings


class BrandOutputs:
    """The Redis streams of those sessions of a server that were asked for with them.

    Args:
        settings: which name a Redis server.

    Raises:
        SettingsError: its client library is missing.
    """

    name = BRAND
    label = "BRAND streams"
    # The names of the streams carry the session's code.
    publishes_code = True
    is_default = False

    def __init__(self, settings: Settings) -> None:
        if find_spec("coredis") is None:
            raise SettingsError(
                "brand_url: got a Redis server, but its client is not installed; install it "
                "with: pip install 'phantomlink[brand]'"
            )
        self._settings = settings

    async def run(
        self,
        sessions: Iterable[Session],
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Nothing is done for all sessions together."""
        task_status.started()

    async def prepare(self) -> None:
        """There is nothing left to import."""

    def output(self, *, is_wanted: bool = False) -> BrandOutput:
        """The streams of a session that is about to be made."""
        return BrandOutput(self._settings, is_wanted=is_wanted)
