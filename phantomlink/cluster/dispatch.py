"""Answers that need the other workers: lists and totals of all, and what one of the others has."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from urllib.parse import unquote

import trio

from phantomlink.access.access_policy import SAFE_METHODS
from phantomlink.calibration.store import ModelInUseError
from phantomlink.cluster.announcements import Announcements
from phantomlink.cluster.inner_request import ask
from phantomlink.cluster.links import Links
from phantomlink.cluster.lists import MODELS_IN_USE_PATH
from phantomlink.cluster.merging import is_merged, merged_json, merged_metrics, read_json
from phantomlink.cluster.relay_header import NAME as RELAY_HEADER
from phantomlink.cluster.relay_header import node_in
from phantomlink.cluster.routing import MAKING_PATH, changes_course, code_in
from phantomlink.engine.session_codes import is_code
from phantomlink.errors import UnavailableError
from phantomlink.rest.dispatch import Answering
from phantomlink.rest.request import ReadBody, RequestHead
from phantomlink.rest.response import JSON_TYPE, Response, error_response

logger = logging.getLogger(__name__)

_GATHER_SECONDS = 0.25
# What one worker has in its memory and no request names by a session.
_MODEL = "/api/models/"
_OF_ONE = ("/api/captures", _MODEL)
_RELAY_SECONDS = 30.0
_RESCAN_PATH = "/api/datasets/rescan"
_RESCAN = RequestHead("POST", _RESCAN_PATH, headers=[(b"host", b"inner")])
_OK, _NOT_FOUND = 200, 404


class WorkerDispatch:
    """Stands before the dispatch of a worker.

    Args:
        own: that of the worker alone.
        links: to the others.
        announcements: of commands.
    """

    def __init__(self, own: Answering, links: Links, announcements: Announcements) -> None:
        self._own = own
        self._links = links
        self._announcements = announcements

    async def __call__(self, head: RequestHead, read_body: ReadBody) -> Response:
        """As `Dispatch`; a command is answered when the record that it changed is with the parent.

        Raises:
            SessionElsewhereError: another process has to answer it.
        """
        if head.method in SAFE_METHODS:
            return await self._answer(head, read_body)
        try:
            self._links.check_may_change()
            response = await self._carried_out(head, read_body)
            await self._links.written()
        except UnavailableError as error:
            return error_response(error)
        if (head.method, head.path, response.status) == ("POST", MAKING_PATH, _OK):
            return self._at_mirror(head, response)
        return response

    def _at_mirror(self, head: RequestHead, response: Response) -> Response:
        """Name the node that has passed this on, where it plays the session too, in `stream_url`.

        Its header is believed without a proof: it only chooses between nodes that play the session.
        """
        relayed = head.get(RELAY_HEADER)
        if relayed is None or not isinstance(response.body, bytes):
            return response
        made = read_json(response.body)
        code = made["session_code"]
        url = self._announcements.url_at(code, node_in(relayed))
        if url is None:
            return response
        named = made | {"stream_url": f"{url}/stream/{code}"}
        return replace(response, body=json.dumps(named).encode())

    async def _carried_out(self, head: RequestHead, read_body: ReadBody) -> Response:
        """The answer to a request that may change something."""
        code = code_in(head.method, head.path, head.query)
        if code is None or not is_code(code) or not changes_course(head.method, head.path):
            return await self._answer(head, read_body)
        async with self._announcements.changing(code):
            return await self._answer(head, read_body)

    async def _answer(self, head: RequestHead, read_body: ReadBody) -> Response:
        """From this worker, others, or all of them, whichever knows."""
        if is_merged(head.method, head.path):
            return await self._gathered(head, await self._own(head, read_body))
        if head.method == "DELETE" and head.path.startswith(_MODEL):
            return await self._model_deleted(head, read_body)
        if head.path.startswith(_OF_ONE):
            return await self._of_one(head, read_body)
        response = await self._own(head, read_body)
        if (head.method, head.path, response.status) == ("POST", _RESCAN_PATH, _OK):
            await self.rescan_others()
        return response

    async def rescan_others(self) -> None:
        """Let the other workers look for datasets, too; returns when they have."""
        for node, answer in (await self._ask_all(_RESCAN, _RELAY_SECONDS)).items():
            if answer.status != _OK:
                logger.warning("The datasets of process %s stay as they were", node)

    async def _gathered(self, head: RequestHead, own: Response) -> Response:
        if own.status != _OK or not isinstance(own.body, bytes):
            return own
        answers = await self._ask_all(head)
        bodies = {
            node: answer.body
            for node, answer in answers.items()
            if answer.status == _OK
            and answer.content_type == own.content_type
            and isinstance(answer.body, bytes)
        }
        silent = sorted(set(self._links.others) - set(bodies))
        if own.content_type == JSON_TYPE:
            parts = [own.body, *bodies.values()]
            body = json.dumps(merged_json(head.path, [read_json(part) for part in parts])).encode()
        else:
            texts = {self._links.node: own.body, **bodies}
            body = merged_metrics({node: text.decode() for node, text in texts.items()}).encode()
        said = () if not silent else (("X-PhantomLink-Missing-Nodes", ", ".join(silent)),)
        return replace(own, body=body).with_headers(said)

    async def _of_one(self, head: RequestHead, read_body: ReadBody) -> Response:
        """Ours, or that of the first worker which knows what is asked for."""

        body = b""

        async def read() -> bytes:
            nonlocal body
            body = await read_body()
            return body

        own = await self._own(head, read)
        if own.status != _NOT_FOUND:
            return own
        for node in self._links.others:
            answer = await self._answer_of(node, head, body, _RELAY_SECONDS)
            if answer is not None and answer.status != _NOT_FOUND:
                return answer
        return own

    async def _model_deleted(self, head: RequestHead, read_body: ReadBody) -> Response:
        """A model is deleted where nobody uses it, and each worker forgets it."""
        asking = replace(head, method="GET", path=MODELS_IN_USE_PATH)
        answers = await self._ask_all(asking, _RELAY_SECONDS)
        if silent := sorted(set(self._links.others) - set(answers)):
            return error_response(
                UnavailableError(f"process {silent[0]} does not say which models it uses")
            )
        in_use = [
            read_json(each.body)["in_use"]
            for each in answers.values()
            if isinstance(each.body, bytes)
        ]
        name = unquote(head.path.removeprefix(_MODEL))
        if any(name in each for each in in_use):
            return error_response(ModelInUseError(f"model {name!r} is put on a session"))
        own = await self._own(head, read_body)
        if own.status not in {_OK, _NOT_FOUND}:
            return own
        others = await self._ask_all(head, _RELAY_SECONDS)
        return min(
            (own, *others.values()),
            key=lambda each: (each.status != _OK, each.status == _NOT_FOUND),
        )

    async def _ask_all(
        self, head: RequestHead, seconds: float = _GATHER_SECONDS
    ) -> dict[str, Response]:
        """What the other workers answer, by node; without those that do not in time."""
        answers: dict[str, Response] = {}

        async def ask_one(node: str) -> None:
            answer = await self._answer_of(node, head, b"", seconds)
            if answer is not None:
                answers[node] = answer

        async with trio.open_nursery() as nursery:
            for node in self._links.others:
                nursery.start_soon(ask_one, node)
        return dict(sorted(answers.items()))

    async def _answer_of(
        self, node: str, head: RequestHead, body: bytes, seconds: float
    ) -> Response | None:
        """What another worker answers; None when it does not in time."""
        try:
            return await ask(self._links, node, head, body, seconds)
        except trio.TooSlowError:
            logger.warning("Process %s has not answered %s within %g s", node, head.path, seconds)
            return None
