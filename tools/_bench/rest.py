"""The few REST calls that the benchmark makes, and what it takes from the answers."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from .slices import ServerReport

_TIMEOUT_SECONDS = 20.0
_ROUTES = ("/api/sessions/{code}/timing", "/api/stats/{code}")
# Names, or how they begin, of the durations that are looked for in the answers.
_LATENESS = ("lateness", "timing_error")
_LAST_WRITE = ("last_write", "handover")
# The last letters of a name that say in which unit the number is: ns in one of them.
_UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "seconds": 1e9}


class Rest:
    """A server's REST API, over one connection that is kept open.

    Args:
        host, port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Status and answer; the answer is None unless it is JSON.

        Raises:
            OSError: the server cannot be reached.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, data, headers)
            response = self._connection.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            # The server may close a connection that was idle for a slice; once is no failure.
            self._connection.close()
            self._connection.request(method, path, data, headers)
            response = self._connection.getresponse()
        raw = response.read()
        is_json = "json" in (response.getheader("Content-Type") or "")
        return response.status, json.loads(raw) if is_json else None

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def server_report(rest: Rest, codes: Sequence[str]) -> ServerReport:
    """What the server says of the lateness of sessions, by the best route that says it."""
    for route in _ROUTES:
        answers = []
        for code in codes:
            status, answer = rest.call("GET", route.format(code=code))
            if status == 200:
                answers.append(answer)
        p50 = [duration_ns(answer, _LATENESS, "p50") for answer in answers]
        if not any(math.isnan(value) for value in p50) and p50:
            p99 = [duration_ns(answer, _LATENESS, "p99") for answer in answers]
            last = [duration_ns(answer, _LAST_WRITE, "p50") for answer in answers]
            stalls, overruns = (
                float(sum(count(answer, name) for answer in answers))
                for name in ("stalls", "overruns")
            )
            return ServerReport(median(p50), max(p99), max(last), stalls, overruns, f"GET {route}")
    return ServerReport()


def duration_ns(answer: Any, names: tuple[str, ...], percentile: str) -> float:
    """A percentile of a duration anywhere in an answer, ns; NaN when it is not there.

    It is looked for as an object whose name begins with one of `names`, tried in turn, and that
    holds the percentile; the unit is at the end of either's name, as in
    `{"lateness_us": {"p50": 2.1}}` and `{"lateness": {"p50_us": 2.1}}`.
    """
    for name in names:
        for found, members in _objects(answer):
            if not found.startswith(name):
                continue
            for key, value in members.items():
                unit = _unit(key) or _unit(found)
                if key.split("_")[0] == percentile and unit and isinstance(value, int | float):
                    return value * unit
    return math.nan


def count(answer: Any, name: str) -> float:
    """The first number of that name in an answer, outer ones first; NaN when there is none."""
    for _, members in _objects(answer):
        if isinstance(members.get(name), int):
            return float(members[name])
    return math.nan


def _objects(answer: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in an answer with its name, outer ones first."""
    waiting = [("", answer)]
    while waiting:
        name, value = waiting.pop(0)
        if isinstance(value, dict):
            yield name, value
            waiting.extend(value.items())
        elif isinstance(value, list):
            waiting.extend((name, item) for item in value)


def _unit(name: str) -> float | None:
    return _UNITS.get(name.rsplit("_", maxsplit=1)[-1])
