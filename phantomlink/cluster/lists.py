"""What the workers tell each other: answers of one alone, lists of views, models in use."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import trio

from phantomlink.application import Application
from phantomlink.cluster.inner_request import ask
from phantomlink.cluster.links import Links
from phantomlink.cluster.merging import Json, read_json
from phantomlink.outputs.view.view_request import VIEW_PATH
from phantomlink.rest.dispatch import Answering
from phantomlink.rest.request import ReadBody, RequestHead
from phantomlink.rest.response import Response

MODELS_IN_USE_PATH = "/models-in-use"
"""Asked by the other workers, of what no client is told so."""
_SECONDS = 0.25
_ASKING = RequestHead("GET", VIEW_PATH, headers=[(b"host", b"inner")])


class InnerDispatch:
    """Answers the other workers: what this one has, its part of the list of views, its models.

    Args:
        own: dispatch of this worker alone.
        app: of this worker.
    """

    def __init__(self, own: Answering, app: Application) -> None:
        self._own = own
        self._app = app

    async def __call__(self, head: RequestHead, read_body: ReadBody) -> Response:
        """As `Dispatch`."""
        if head.path == VIEW_PATH:
            return Response(json.dumps(await self._app.get_views().own_list()).encode())
        if head.path == MODELS_IN_USE_PATH:
            in_use = self._app.get_service().models_in_use()
            return Response(json.dumps({"in_use": sorted(in_use)}).encode())
        # The worker that asks has counted it.
        return await self._own(replace(head, is_counted=True), read_body)


class OtherLists:
    """The lists of the other workers. One that does not answer in time has its last one.

    Args:
        links: to them.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._latest: dict[str, Json] = {}

    async def look(self) -> list[Json]:
        """What they have now."""
        others = self._links.others
        self._latest = {node: each for node, each in self._latest.items() if node in others}
        async with trio.open_nursery() as nursery:
            for node in others:
                nursery.start_soon(self._ask, node)
        return list(self._latest.values())

    async def _ask(self, node: str) -> None:
        with suppress(trio.TooSlowError):
            response = await ask(self._links, node, _ASKING, b"", _SECONDS)
            if response is not None and isinstance(response.body, bytes):
                self._latest[node] = read_json(response.body)
