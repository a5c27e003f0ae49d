"""What the polled routes answer, and which requests can be answered without the framework.

Dashboards and probes ask these routes all the time, and every millisecond that the loop spends on
HTTP is one that a tick may have to wait for. Most of what such a request used to cost was not its
answer but hypercorn and Quart around it. So each route is one function here. The framework's
views call it (`rest/routes.py`), and so do the front of `phantomlink serve` and the ASGI
application for requests that are beyond doubt: a plain GET or HEAD without a body, of a path and a
query that have nothing to decode. Everything else is left to the framework, which answers the same.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import parse_qs

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.access.origins import OriginRule
from phantomlink.access.request_identity import RequestIdentity
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import is_private, shown_code
from phantomlink.errors import InvalidParameterError, UnavailableError
from phantomlink.rest import views
from phantomlink.rest.accept import Form, choose_form
from phantomlink.rest.cors import VARY, allowing_headers
from phantomlink.rest.parameters import Parameters
from phantomlink.rest.problems import failed
from phantomlink.rest.prometheus import scrape
from phantomlink.rest.responses import Answer, dumps, json_answer
from phantomlink.rest.timing_report import timing as timing_report
from phantomlink.rest.timing_report import timing_text
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.service.service import Service

GetService = Callable[[], Service]
PolledView = Callable[[GetService, str, Parameters], Awaitable[Answer]]
RawAnswer = tuple[int, list[tuple[bytes, bytes]], bytes]
T = TypeVar("T")

NO_PARAMETERS = Parameters({}, {})

_TARGET = re.compile(r"(/[A-Za-z0-9._~/-]*)(?:\?([A-Za-z0-9._~=&-]*))?", re.ASCII)
_VARY_ACCEPT = ("Accept",)
_FIRST_LINE = re.compile(rb"(?:GET|HEAD) (/[A-Za-z0-9._~/-]*)(?:\?[!-~]*)? HTTP/1\.1\r\n")
_METHODS = frozenset({"GET", "HEAD"})
# A body, or something that has to be settled before there can be an answer.
_NOT_PLAIN = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade"})


async def health(get_service: GetService, _code: str, _parameters: Parameters) -> Answer:
    """`GET /health`."""
    return json_answer(views.health(get_service()))


async def livez(_get_service: GetService, _code: str, _parameters: Parameters) -> Answer:
    """`GET /livez`: also before the start."""
    return json_answer({"status": "alive"})


async def readyz(get_service: GetService, _code: str, _parameters: Parameters) -> Answer:
    """`GET /readyz`."""
    reason = get_service().not_ready_reason
    if reason is not None:
        raise UnavailableError(reason)
    return json_answer({"status": "ready"})


async def metrics(get_service: GetService, _code: str, _parameters: Parameters) -> Answer:
    """`GET /metrics` as JSON: the form for whoever asks for no other."""
    memory_mb = views.memory_usage_mb()
    texts: dict[str, str] = {}

    def view(session: Session) -> views.Json:
        said = views.session_metrics(session, memory_mb)
        texts[shown_code(session.code)] = dumps(said)
        return said

    body = views.metrics(await _of_each(get_service(), view))
    figures = body.pop("metrics")
    del figures["sessions"]
    text = _with(body, "metrics", _with(figures, "sessions", _object(texts)))
    return Answer(text.encode(), vary=_VARY_ACCEPT)


def metrics_in(accept: str) -> PolledView:
    """The view that answers `GET /metrics` in the form that an Accept header asks for."""
    form = choose_form(accept)
    return metrics if form is Form.JSON else partial(_metrics_as_text, form)


async def _metrics_as_text(
    form: Form, get_service: GetService, _code: str, _parameters: Parameters
) -> Answer:
    text = await scrape(get_service(), form)
    return Answer(text, content_type=form.content_type, vary=_VARY_ACCEPT)


async def sessions(get_service: GetService, _code: str, _parameters: Parameters) -> Answer:
    """`GET /api/sessions`: those whose codes are no secrets."""
    said = await _of_each(get_service(), lambda session: dumps(views.session_json(session)))
    texts = {code: text for code, text in said.items() if not is_private(code)}
    return Answer(f'{{"sessions":{_object(texts)},"total_sessions":{len(texts)}}}'.encode())


async def session(get_service: GetService, code: str, _parameters: Parameters) -> Answer:
    """`GET /api/sessions/{code}`."""
    return json_answer(views.session_json(get_service().registry.get(code)))


async def timing(get_service: GetService, code: str, parameters: Parameters) -> Answer:
    """`GET /api/sessions/{code}/timing`."""
    form = parameters.text("format")
    if form not in {None, "json", "text"}:
        raise InvalidParameterError(f"format: got {form!r}, takes json or text")
    report = timing_report(get_service(), get_service().registry.get(code))
    if form == "text":
        return Answer(timing_text(report).encode(), content_type="text/plain; charset=utf-8")
    return json_answer(report)


async def position(get_service: GetService, code: str, _parameters: Parameters) -> Answer:
    """`GET /api/control/{code}/position`."""
    return json_answer(views.position(get_service().registry.get(code)))


async def totals(get_service: GetService, _code: str, _parameters: Parameters) -> Answer:
    """`GET /api/stats`."""
    tallies = await _of_each(get_service(), views.tally)
    max_sessions = get_service().registry.max_sessions
    return json_answer(views.totals(list(tallies.values()), max_sessions=max_sessions))


async def stats(get_service: GetService, code: str, _parameters: Parameters) -> Answer:
    """`GET /api/stats/{code}`."""
    return json_answer(views.stats(get_service().registry.get(code)))


_PATHS: dict[str, PolledView] = {
    "/health": health,
    "/livez": livez,
    "/readyz": readyz,
    "/metrics": metrics,
    "/api/stats": totals,
    "/api/sessions": sessions,
}
_PATHS_OF_SESSIONS: tuple[tuple[str, str, PolledView], ...] = (
    ("/api/stats/", "", stats),
    ("/api/control/", "/position", position),
    ("/api/sessions/", "/timing", timing),
    ("/api/sessions/", "", session),
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is beyond doubt, and the function that answers it."""

    view: PolledView
    code: str
    parameters: Parameters
    origin: str | None
    method: str
    path: str

    async def answer(
        self, get_service: GetService, policy: AccessPolicy, requester: RequestIdentity
    ) -> RawAnswer:
        """Status, headers and body, as the framework would answer; never raises an error.

        The body is that of a GET also for a HEAD. To leave it away then, and to add the date, is
        for the server that sends it, as it is with the framework's answers.

        Args:
            get_service: gives the running service, or raises UnavailableError.
            policy: lets the request in, or not.
            requester: whose request it is.
        """
        try:
            policy.check(requester)
            answer = await self.view(get_service, self.code, self.parameters)
        except Exception as error:  # noqa: BLE001 - a boundary, as the framework's is
            answer = failed(self.method, self.path, error)
        return raw_answer(answer, self.origin, policy.origins)


def raw_answer(answer: Answer, origin: str | None, origins: OriginRule) -> RawAnswer:
    """Status, headers and body of an answer to a request of this origin."""
    headers = (
        *answer.headers,
        ("content-type", answer.content_type),
        ("content-length", str(len(answer.body))),
        ("vary", ", ".join((*answer.vary, VARY))),
        *allowing_headers(origin, origins),
    )
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return answer.status, raw, answer.body


def find_call(
    method: str, http_version: str, target: str, headers: Iterable[tuple[bytes, bytes]]
) -> Call | None:
    """What answers this request; None when that is for the framework to find out.

    Args:
        method: of the request.
        http_version: of the request; only "1.1" is taken.
        target: path and query as they were sent.
        headers: name, in lower case, and value.
    """
    if method not in _METHODS or http_version != "1.1":
        return None
    parts = _TARGET.fullmatch(target)
    found = None if parts is None else _find_view(parts[1])
    if parts is None or found is None:
        return None
    origin = None
    accepts: list[str] = []
    for name, value in headers:
        if name in _NOT_PLAIN:
            return None
        if name == b"origin":
            if origin is not None or not value.isascii():
                return None
            origin = value.decode("ascii")
        if name == b"accept":
            accepts.append(value.decode("latin-1"))
    parameters = NO_PARAMETERS
    if parts[2] and found[0] is timing:
        parameters = Parameters({}, parse_qs(parts[2], keep_blank_values=True))
    view, code = found
    if view is metrics:
        view = metrics_in(",".join(accepts))
    return Call(view, code, parameters, origin, method, parts[1])


def looks_polled(data: bytes) -> bool:
    """Whether bytes begin with the first line of a request that `find_call` may know."""
    line = _FIRST_LINE.match(data)
    return line is not None and _find_view(line[1].decode("ascii")) is not None


def _find_view(path: str) -> tuple[PolledView, str] | None:
    view = _PATHS.get(path)
    if view is not None:
        return view, ""
    for prefix, suffix, view in _PATHS_OF_SESSIONS:
        if path.startswith(prefix) and path.endswith(suffix):
            code = path[len(prefix) : len(path) - len(suffix)]
            if code and "/" not in code:
                return view, code
    return None


async def _of_each(service: Service, view: Callable[[Session], T]) -> dict[str, T]:
    """What `view` says of each session, by code. A tick that is due comes in between."""
    said, turn = {}, LoopBudget()
    for one in service.registry:
        said[one.code] = view(one)
        if turn.is_over:
            await turn.end()
    return said


def _object(texts: dict[str, str]) -> str:
    """A JSON object of members that are JSON already; codes have nothing to escape."""
    return "{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}"


def _with(members: views.Json, name: str, text: str) -> str:
    """`members` and one more at the end, which is JSON already."""
    return f'{dumps(members)[:-1]},"{name}":{text}}}'
