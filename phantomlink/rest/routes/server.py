"""`/health`, `/livez` and `/readyz`: how the server is doing."""

from __future__ import annotations

from typing import Annotated, Literal

from phantomlink import __version__
from phantomlink.errors import UnavailableError
from phantomlink.rest.records import Now, Record, about, iso_now
from phantomlink.rest.request import Request
from phantomlink.rest.route import route

TAG = "server"


class Health(Record, frozen=True):
    """For people and dashboards."""

    status: Literal["healthy"]
    version: Annotated[str, about("of the server", "0.1.0")]
    timestamp: Now
    active_sessions: Annotated[int, about("sessions that somebody listens to", 1)]
    active_connections: Annotated[int, about("listeners of all sessions", 2)]


class Alive(Record, frozen=True):
    """The process answers."""

    status: Literal["alive"]


class Ready(Record, frozen=True):
    """Sessions can be served."""

    status: Literal["ready"]


@route("GET", "/health", TAG, errors=(503,))
async def health(request: Request) -> Health:
    """How it is, for people."""
    listeners = [session.n_listening for session in request.service.registry]
    active = sum(n > 0 for n in listeners)
    return Health("healthy", __version__, iso_now(), active, sum(listeners))


@route("GET", "/livez", TAG)
async def livez(request: Request) -> Alive:
    """Whether the process answers, for machines."""
    return Alive("alive")


@route("GET", "/readyz", TAG, errors=(503,))
async def readyz(request: Request) -> Ready:
    """Whether sessions can be served, for machines.

    503 while starting and from the first moment of going away.
    """
    reason = request.service.not_ready_reason
    if reason is not None:
        raise UnavailableError(reason)
    return Ready("ready")


ROUTES = (health, livez, readyz)
