"""REST: parse, call, map. What is decided is decided by the service and its sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from weakref import WeakKeyDictionary

import trio
from quart import Response, request
from quart_trio import QuartTrio

from phantomlink import web
from phantomlink.access.origins import OriginRule
from phantomlink.engine.session import Session
from phantomlink.errors import InvalidParameterError, PhantomLinkError
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.recordings.trials import Filter
from phantomlink.rest import polled, views
from phantomlink.rest.cors import register_cors
from phantomlink.rest.openapi import openapi_document
from phantomlink.rest.parameters import Parameters, client_base_url, parse_body, parse_integer
from phantomlink.rest.polled import NO_PARAMETERS, GetService, PolledView
from phantomlink.rest.problems import register_problems, response
from phantomlink.rest.responses import dumps, json_answer
from phantomlink.service.service import Service

View = Callable[..., Awaitable[Response]]

_CACHED = {"Cache-Control": "public, max-age=3600"}


class UpgradeRequiredError(PhantomLinkError):
    """A stream was asked for without a WebSocket upgrade."""

    http_status = 426
    close_code = 1008
    title = "Upgrade required"
    headers = (("Upgrade", "websocket"), ("Connection", "Upgrade"))


def register_routes(
    app: QuartTrio, get_service: GetService, get_origins: Callable[[], OriginRule]
) -> None:
    """Add every route of the REST interface, its errors and CORS to the application.

    Args:
        app: the application.
        get_service: gives the running service, or raises UnavailableError.
        get_origins: gives the rule about pages that may call.
    """
    register_problems(app)
    register_cors(app, get_origins)
    routes = _Routes(get_service)
    table: tuple[tuple[str, str, View], ...] = (
        ("GET", "/health", routes.health),
        ("GET", "/livez", routes.livez),
        ("GET", "/readyz", routes.readyz),
        ("GET", "/metrics", routes.metrics),
        ("GET", "/api/metadata", routes.metadata),
        ("POST", "/api/sessions/create", routes.create_session),
        ("POST", "/api/sessions/cleanup", routes.clean_up_sessions),
        ("GET", "/api/sessions", routes.sessions),
        ("GET", "/api/sessions/<code>", routes.session),
        ("DELETE", "/api/sessions/<code>", routes.delete_session),
        ("POST", "/api/control/<code>/pause", routes.pause),
        ("POST", "/api/control/<code>/resume", routes.resume),
        ("POST", "/api/control/<code>/stop", routes.stop),
        ("POST", "/api/control/<code>/seek", routes.seek),
        ("POST", "/api/control/<code>/speed", routes.speed),
        ("GET", "/api/control/<code>/position", routes.position),
        ("GET", "/api/sessions/<code>/timing", routes.timing),
        ("GET", "/api/stats", routes.totals),
        ("GET", "/api/stats/<code>", routes.stats),
        ("GET", "/api/trials", routes.trials),
        ("GET", "/api/trials/<trial_id>", routes.trial),
        ("GET", "/api/trials/by-target/<target_id>", routes.trials_by_target),
        ("GET", "/", routes.landing_page),
        ("GET", "/docs", routes.docs),
        ("GET", "/docs/<name>", routes.docs_file),
        ("GET", "/openapi.json", routes.openapi),
        ("GET", "/stream/<code>", routes.stream),
        ("GET", "/stream/binary/<code>", routes.binary_stream),
        ("GET", "/api/sessions/<code>/perturbation", routes.perturbation),
        ("PUT", "/api/sessions/<code>/perturbation", routes.set_perturbation),
        ("DELETE", "/api/sessions/<code>/perturbation", routes.clear_perturbation),
        ("GET", "/api/sessions/<code>/digest", routes.digest),
    )
    for method, rule, view in table:
        app.add_url_rule(rule, view.__name__, view, methods=[method])


class _Routes:
    """The views, each of which answers one route; see `register_routes`."""

    def __init__(self, get_service: GetService) -> None:
        self._get_service = get_service
        # The trials of a recording do not change: serialised once, not for every page load.
        self._trials: WeakKeyDictionary[Service, bytes] = WeakKeyDictionary()

    async def health(self) -> Response:
        return await self._polled(polled.health)

    async def livez(self) -> Response:
        return await self._polled(polled.livez)

    async def readyz(self) -> Response:
        return await self._polled(polled.readyz)

    async def metrics(self) -> Response:
        accepts = ",".join(request.headers.getlist("Accept"))
        return await self._polled(polled.metrics_in(accepts))

    async def metadata(self) -> Response:
        code = (await _parameters()).text("session")
        session = None if code is None else self._session(code)
        return _json(views.recording_metadata(self._get_service(), session))

    async def create_session(self) -> Response:
        service = self._get_service()
        parameters = await _parameters()
        lsl = parameters.flag("lsl")
        session, created = await service.sessions.create(
            parameters.text("custom_code"),
            bin_size_ms=parameters.number("bin_size_ms"),
            speed=parameters.number("speed"),
            outputs={} if lsl is None else {"lsl": lsl},
            perturbation=parameters.value("perturbation"),
            seed=parameters.integer("seed"),
            private=parameters.flag("private"),
        )
        return _json(views.session_created(session, created=created, base_url=_base_url(service)))

    async def clean_up_sessions(self) -> Response:
        return _json({"cleaned_up": self._get_service().registry.cleanup()})

    async def sessions(self) -> Response:
        return await self._polled(polled.sessions)

    async def session(self, code: str) -> Response:
        return await self._polled(polled.session, code)

    async def delete_session(self, code: str) -> Response:
        self._get_service().registry.delete(code)
        return _done("deleted", code)

    async def pause(self, code: str) -> Response:
        self._session(code).pause()
        return _done("paused", code)

    async def resume(self, code: str) -> Response:
        self._session(code).resume()
        return _done("resumed", code)

    async def stop(self, code: str) -> Response:
        self._session(code).stop()
        return _done("stopped", code)

    async def seek(self, code: str) -> Response:
        parameters = await _parameters()
        packet_id = parameters.integer("packet_id")
        position_seconds = parameters.number("position_seconds")
        session = self._session(code)
        if packet_id is not None and position_seconds is None:
            session.seek(packet_id)
        elif position_seconds is not None and packet_id is None:
            session.seek_seconds(position_seconds)
        else:
            got = "neither" if packet_id is None else "both"
            raise InvalidParameterError(f"got {got}, takes one of packet_id and position_seconds")
        return _json(views.sought(session))

    async def speed(self, code: str) -> Response:
        speed = (await _parameters()).number("speed")
        if speed is None:
            raise InvalidParameterError("speed: got none, takes a number")
        session = self._session(code)
        self._get_service().sessions.set_speed(session, speed)
        return _json(views.paced(session))

    async def timing(self, code: str) -> Response:
        return await self._polled(polled.timing, code, await _parameters())

    async def position(self, code: str) -> Response:
        return await self._polled(polled.position, code)

    async def totals(self) -> Response:
        return await self._polled(polled.totals)

    async def stats(self, code: str) -> Response:
        return await self._polled(polled.stats, code)

    async def trials(self) -> Response:
        service = self._get_service()
        body = self._trials.get(service)
        if body is None:
            trials = service.recording.trials
            n = {"total_trials": len(trials), "count": len(trials)}
            body = await trio.to_thread.run_sync(_with_trials, views.trials_json(trials), n)
            self._trials[service] = body
        return Response(body, content_type="application/json")

    async def trial(self, trial_id: str) -> Response:
        wanted = parse_integer("trial_id", trial_id)
        return _json(self._get_service().recording.trials.by_id(wanted).as_json())

    async def trials_by_target(self, target_id: str) -> Response:
        wanted = parse_integer("target_id", target_id)
        trials = self._get_service().recording.trials.by_target(wanted)
        n = {"count": len(trials), "target_id": wanted}
        body = await trio.to_thread.run_sync(_with_trials, views.trials_json(trials), n)
        return Response(body, content_type="application/json")

    async def landing_page(self) -> Response:
        service = self._get_service()
        return _page(web.landing_page(service, _base_url(service)))

    async def docs(self) -> Response:
        return _page(web.docs_page())

    async def docs_file(self, name: str) -> Response:
        data, media_type = await trio.to_thread.run_sync(web.docs_asset, name)
        return Response(data, headers=_CACHED, content_type=media_type)

    async def openapi(self) -> Response:
        return Response(_openapi_bytes(), content_type="application/json")

    async def stream(self, code: str) -> Response:
        raise UpgradeRequiredError(
            f"/stream/{code} is a WebSocket: connect with ws://, not http://"
        )

    async def binary_stream(self, code: str) -> Response:
        return await self.stream(f"binary/{code}")

    async def perturbation(self, code: str) -> Response:
        return _json(views.perturbation(self._session(code)))

    async def set_perturbation(self, code: str) -> Response:
        parameters = await _parameters()
        wanted = parameters.value("perturbation")
        if wanted is None and "perturbation" not in parameters.body:
            raise InvalidParameterError("perturbation: got none, takes a preset or an object")
        session = self._session(code)
        packet_id = await self._get_service().sessions.set_perturbation(
            session, wanted, parameters.integer("seed")
        )
        return _json(views.perturbed(session, packet_id))

    async def clear_perturbation(self, code: str) -> Response:
        session = self._session(code)
        return _json(views.perturbed(session, session.set_perturbation(NO_PERTURBATION)))

    async def digest(self, code: str) -> Response:
        parameters = await _parameters()
        session = self._session(code)
        start, stop, loop = (parameters.integer(name) for name in ("start", "stop", "loop"))
        bins = {
            "start": 0 if start is None else start,
            "stop": session.grid.n_bins if stop is None else stop,
            "loop": 0 if loop is None else loop,
        }
        wanted = Filter(
            parameters.integer("trial_id"),
            parameters.integer("target_id"),
            parameters.integer("reach_id"),
        )
        # What it is of: this may change while it is computed.
        of = views.perturbation(session)
        sha256, num_packets = await self._get_service().sessions.digest(session, wanted, **bins)
        return _json(
            of
            | bins
            | {"filter": views.filter_json(wanted), "num_packets": num_packets, "sha256": sha256}
        )

    async def _polled(
        self, view: PolledView, code: str = "", parameters: Parameters = NO_PARAMETERS
    ) -> Response:
        return response(await view(self._get_service, code, parameters))

    def _session(self, code: str) -> Session:
        return self._get_service().registry.get(code)


@cache
def _openapi_bytes() -> bytes:
    return dumps(openapi_document()).encode()


def _page(text: str) -> Response:
    headers = {"Content-Security-Policy": web.CONTENT_SECURITY_POLICY}
    return Response(text, headers=headers, content_type="text/html; charset=utf-8")


async def _parameters() -> Parameters:
    data: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return Parameters(parse_body(data, request.mimetype), dict(request.args.lists()))


def _base_url(service: Service) -> str:
    settings = service.settings
    server = request.scope.get("server") or (settings.host, settings.port)
    return client_base_url(
        request.headers, request.scheme, server, trust_proxy=settings.trust_proxy
    )


def _done(status: str, code: str) -> Response:
    return _json({"status": status, "session_code": code})


def _json(body: object) -> Response:
    return response(json_answer(body))


def _with_trials(trials: Iterable[views.Json], others: views.Json) -> bytes:
    """`{"trials": [...], ...others}`; trial by trial, since the encoder never yields inside one.

    Called in a worker thread: thousands of trials take longer to write than a tick may wait.
    """
    listed = ",".join(dumps(trial) for trial in trials)
    return f'{{"trials":[{listed}],{dumps(others)[1:]}'.encode()
