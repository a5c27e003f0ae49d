"""`/api/nodes`: the processes that serve sessions together."""

from __future__ import annotations

from typing import Annotated, Literal

from phantomlink import __version__
from phantomlink.rest.records import Record, about
from phantomlink.rest.request import Request
from phantomlink.rest.route import route

TAG = "server"


class Node(Record, frozen=True):
    """A process that serves sessions."""

    name: Annotated[str, about("of the process", "0")]
    url: Annotated[str | None, about("where it is reached by itself; null: at the server's")]
    state: Literal["up", "static", "draining", "gone"]
    epoch: Annotated[int, about("of the records that it writes; 0: it writes none", 1)]
    sessions: Annotated[int, about("that it plays", 12)]
    mirrors: Annotated[int, about("sessions of other nodes that it plays too, for its viewers", 0)]
    clients: Annotated[int, about("listeners of its own sessions and of mirrors", 12)]
    room: Annotated[int, about("for further sessions, of all processes of its machine", 28)]
    datasets: Annotated[list[str], about("that it can play", ["mc_maze"])]
    version: Annotated[str, about("of the server", "0.1.0")]
    clock_offset_ms: Annotated[
        float, about("common time less the clock of its machine; 0 on one machine", 0.0)
    ]


class Nodes(Record, frozen=True):
    """The processes of a server."""

    nodes: list[Node]


@route("GET", "/api/nodes", TAG)
async def nodes(request: Request) -> Nodes:
    """List the processes that serve sessions: one, or as many as the server was started with."""
    service = request.service
    sessions = list(service.registry)
    catalogue, node = service.datasets.catalogue, service.node
    return Nodes(
        [
            Node(
                node.name,
                service.settings.node_url,
                node.state if service.not_ready_reason is None else "draining",
                node.epoch,
                len(sessions),
                len(service.mirrored),
                sum(session.n_listening for session in (*sessions, *service.mirrored)),
                max(service.settings.max_sessions - len(sessions), 0),
                sorted(each.name for each in catalogue.values() if each.path is not None),
                __version__,
                node.clock_offset_ns / 1e6,
            )
        ]
    )


ROUTES = (nodes,)
