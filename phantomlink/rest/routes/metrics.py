"""`/metrics`: figures of every session as JSON, or of the server as text for Prometheus."""

from __future__ import annotations

from enum import Enum
from functools import partial
from typing import Annotated, Literal

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from phantomlink import __version__
from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.session import Session
from phantomlink.engine.session_codes import shown_code
from phantomlink.rest.figures import (
    DatasetName,
    DroppedPackets,
    NetworkLatency,
    PacketsSent,
    TimingError,
    milliseconds_of,
)
from phantomlink.rest.process_memory import MemoryUsageMb, memory_usage_mb
from phantomlink.rest.prometheus import scrape
from phantomlink.rest.records import Now, Record, about, encoded, iso_now
from phantomlink.rest.request import Request
from phantomlink.rest.response import Response, json_response
from phantomlink.rest.route import route
from phantomlink.rest.session_turns import of_each


class SessionMetrics(Record, frozen=True):
    """Figures of one session."""

    packets_sent: PacketsSent
    dropped_packets: DroppedPackets
    network_latency_ms: NetworkLatency
    timing_error_ms: TimingError
    memory_usage_mb: MemoryUsageMb
    is_running: bool
    is_paused: bool
    connections: Annotated[int, about("listeners", 1)]
    dataset: DatasetName


class Figures(Record, frozen=True):
    """Figures of every session."""

    total_sessions: Annotated[int, about(example=2)]
    active_sessions: Annotated[int, about("sessions that somebody listens to", 1)]
    total_connections: Annotated[int, about("listeners now", 1)]
    sessions: Annotated[
        dict[str, SessionMetrics],
        about("by code; that of a private one is shortened, with dots at its end"),
    ]


class Metrics(Record, frozen=True):
    """The metrics as JSON."""

    timestamp: Now
    service: Literal["phantomlink"]
    version: Annotated[str, about("of the server", "0.1.0")]
    metrics: Figures


class Form(Enum):
    """A form of the metrics; of two that are wanted alike, the one that stands first here."""

    JSON = "application/json"
    OPENMETRICS = "application/openmetrics-text"
    PROMETHEUS = "text/plain"


_TEXT_TYPES = {
    Form.OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
    Form.PROMETHEUS: "text/plain; version=0.0.4; charset=utf-8",
}
_VARY = ("Accept",)


@route(
    "GET",
    "/metrics",
    "server",
    answer=Metrics,
    media_types=(Form.JSON.value, Form.PROMETHEUS.value, Form.OPENMETRICS.value),
    errors=(503,),
)
async def show(request: Request) -> Response:
    """Figures of every session, or of the server for Prometheus.

    JSON, unless `Accept` asks for the text of Prometheus or OpenMetrics.
    """
    form = choose_form(",".join(request.head.get_all("accept")))
    if form is not Form.JSON:
        text = await scrape(request.service, is_openmetrics=form is Form.OPENMETRICS)
        return Response(text, content_type=_TEXT_TYPES[form], vary=_VARY)
    memory_mb = memory_usage_mb()
    listening: list[int] = []

    def view(session: Session) -> SessionMetrics:
        metrics = session_metrics(session, memory_mb)
        listening.append(metrics.connections)
        return encoded(metrics)

    by_code = await of_each(request.service.registry, view)
    figures = Figures(
        total_sessions=len(listening),
        active_sessions=sum(n > 0 for n in listening),
        total_connections=sum(listening),
        sessions={shown_code(code): metrics for code, metrics in by_code.items()},
    )
    return json_response(Metrics(iso_now(), "phantomlink", __version__, figures), vary=_VARY)


def session_metrics(session: Session, memory_mb: float) -> SessionMetrics:
    """The figures of one session; `memory_mb` is the process's."""
    return SessionMetrics(
        packets_sent=session.counters.packets,
        dropped_packets=session.counters.dropped,
        network_latency_ms=milliseconds_of(session.counters.latency(WEBSOCKET)),
        timing_error_ms=milliseconds_of(session.main.timing.lateness),
        memory_usage_mb=memory_mb,
        is_running=session.is_running,
        is_paused=session.is_paused,
        connections=session.n_listening,
        dataset=session.recording.dataset,
    )


def choose_form(accept: str) -> Form:
    """The form that is wanted most, by the rules of RFC 9110; JSON when nothing is asked for.

    A text has to be named (`text/*` names it too): `*/*`, as browsers and scripts send, is JSON.
    Parameters other than `q` make no difference, and a client that takes nothing of ours gets JSON.

    Args:
        accept: the header's value; "" where there is none.
    """
    ranges = [
        (name.partition(";")[0].strip(), quality)
        for name, quality in parse_accept_header(accept, MIMEAccept)
    ]
    every = MIMEAccept(ranges)
    named = MIMEAccept([(name, quality) for name, quality in ranges if name != "*/*"])
    return max(Form, key=partial(_weight, every, named))


def _weight(every: MIMEAccept, named: MIMEAccept, form: Form) -> tuple[float, bool]:
    """(quality, whether it was named) of a form."""
    return every.quality(form.value), named.quality(form.value) > 0


ROUTES = (show,)
