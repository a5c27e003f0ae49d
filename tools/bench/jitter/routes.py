"""What one request to each polled route costs the server."""

from __future__ import annotations

import uuid

from ..harness.disturbance import polled_routes
from ..harness.server import Server, UsageMeter

# So many that the kernel's 10 ms of CPU accounting are a twentieth of a millisecond a request.
_REQUESTS = 200
_SESSIONS = 10


def measure_routes(server: Server) -> dict[str, float]:
    """CPU of the server's process for one request, s, by route; empty for a server not ours.

    Ten sessions exist and nobody plays, so what the process does is answering: HTTP, framework
    and route, all of it on the event loop. Requests come one after the other on one connection.

    Raises:
        ChildError: a route does not answer 200 any more.
    """
    if server.process is None:
        return {}
    codes = [f"routes-{uuid.uuid4().hex[:8]}-{n}" for n in range(_SESSIONS)]
    for code in codes:
        server.must("POST", "/api/sessions/create", {"custom_code": code})
    found = {}
    for route in polled_routes(codes[0]):
        meter = UsageMeter(server.process)
        for _ in range(_REQUESTS):
            server.must("GET", route)
        found[route.replace(codes[0], "{code}")] = meter.seconds()[0] / _REQUESTS
    for code in codes:
        server.call("DELETE", f"/api/sessions/{code}")
    return found
