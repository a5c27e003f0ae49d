"""Runs a soak: starts what has a part in it, looks every few seconds, decides at the end."""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
import urllib.request
import uuid
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil
from _bench.server import Server, StartedServer
from _bench.talk import Child, ChildError, Message

from .arguments import parser
from .figures import NO_LATENESS, Lateness, lateness, slow_clients, total
from .verdicts import Heard, Sample, as_json, exit_code, judge, text, warm_up_seconds

_RATE_HZ = Fraction(40)
# Beside those that are listened to: what churns, what is hostile.
_MORE_SESSIONS = 30
_READY_SECONDS = 120.0
_MOST_TRIALS = 16
_SLOW_CLIENTS = "phantomlink_slow_clients_total"
_ANSWER_SECONDS = 60.0
# Until queues are gone, keep-alives over and idle threads ended.
_QUIET_SECONDS = 30.0
_SETTLE_SECONDS = 3.0


class Soak:
    """One run.

    Args:
        arguments: of the command line.
        server: under test.
        stack: what is to be stopped at the end.
    """

    def __init__(self, arguments: Namespace, server: Server, stack: ExitStack) -> None:
        self._arguments = arguments
        self._server = server
        run = uuid.uuid4().hex[:6]
        self._codes = [f"soak-{run}-{n}" for n in range(arguments.sessions)]
        self._where: Message = {"host": server.host, "port": server.port, "codes": self._codes}
        self._stack = stack
        self.samples: list[Sample] = []
        self.lines: list[dict[str, Any]] = []
        self._began = 0.0
        self._sessions_before: set[str] = set()
        self._lateness = NO_LATENESS
        self._first_lateness = NO_LATENESS

    def run(self) -> tuple[int, dict[str, Any]]:
        """Load the server, and say what came of it: exit code, and everything for programs."""
        seconds = 60 * self._arguments.minutes
        self._sessions_before = self._sessions()
        slow_before = total(self._metrics(), _SLOW_CLIENTS)
        before = self._settled()
        listeners = self._start("listeners", self._where)
        listening_since = time.monotonic()
        load = self._where | {
            "churn_per_second": self._arguments.churn,
            "requests_per_second": self._arguments.requests,
            "hostile_per_second": self._arguments.hostile,
            "slow_clients": self._arguments.slow,
            "n_trials": min(_MOST_TRIALS, int(str(self._server.metadata["num_trials"]))),
        }
        trouble = self._start("trouble", load)
        self._began = time.monotonic()
        heard, done = listeners.ask({}, _ANSWER_SECONDS), trouble.ask({}, _ANSWER_SECONDS)
        metrics = self._metrics()
        self._first_lateness = self._lateness = lateness(metrics)
        print(f"{len(self._codes)} sessions, {seconds:g} s of load", flush=True)
        heard_at = self._began
        while (elapsed := time.monotonic() - self._began) < seconds:
            time.sleep(min(self._arguments.every, seconds - elapsed))
            heard = listeners.ask({}, _ANSWER_SECONDS)
            done = trouble.ask({}, _ANSWER_SECONDS)
            heard_at = time.monotonic()
            self._look(heard, done)
        done = trouble.ask({"stop": True}, _ANSWER_SECONDS)
        n_slow = total(self._metrics(), _SLOW_CLIENTS) - slow_before
        everything = self._lateness.since(self._first_lateness)
        listeners.stop()
        trouble.stop()
        left = self._left_behind(before)
        verdicts = judge(
            Heard(
                heard["packets"],
                heard["fewest"],
                tuple(heard["gaps"]),
                heard["n_gaps"],
                tuple(heard["closed"]),
            ),
            float(self._server.rate_hz) * (heard_at - listening_since),
            self.samples,
            warm_up_seconds(seconds),
            left,
            {name: (n, failed) for name, (n, failed) in done["calls"].items()},
        )
        print(f"\n{everything.ticks} ticks, {_late(everything)}")
        print(slow_clients(done["slow_clients"], n_slow))
        print(text(verdicts))
        about = {
            "seconds": heard_at - self._began,
            "sessions": len(self._codes),
            "ticks": everything.ticks,
            "lateness": asdict(everything),
            "lines": self.lines,
            "done": done,
            "slow_for_server": n_slow,
            "left_behind": left,
        }
        return exit_code(verdicts), about | as_json(verdicts, self.samples)

    def _start(self, name: str, config: Message) -> Child:
        child = Child(name, config, package="_soak")
        self._stack.callback(child.stop)
        child.read(_READY_SECONDS)
        return child

    def _look(self, heard: Message, done: Message) -> None:
        metrics = self._metrics()
        now = lateness(metrics)
        since, self._lateness = now.since(self._lateness), now
        sample = self._sample()
        self.samples.append(sample)
        dropped = total(metrics, "phantomlink_packets_dropped_total")
        line = {
            "seconds": sample.seconds,
            "ticks": since.ticks,
            "gaps": heard["n_gaps"],
            "closed": len(heard["closed"]),
            "lateness_p50_us": _us(since.quantile(0.5)),
            "lateness_p99_us": _us(since.quantile(0.99)),
            "stalls": total(metrics, "phantomlink_stalls_total"),
            "dropped_for_slow": dropped,
            "calls": done["calls"],
        }
        self.lines.append(line)
        print(
            f"{sample.seconds:6.0f} s  {since.ticks:6d} ticks  {heard['n_gaps']} gaps  "
            f"{_late(since)}  rss {sample.rss_mb:.1f} uss {sample.uss_mb:.1f} MB  "
            f"{sample.descriptors:.0f} fds  {sample.threads:.0f} threads  "
            f"{dropped:.0f} dropped for slow clients  {line['stalls']:.0f} stalls",
            flush=True,
        )

    def _sample(self) -> Sample:
        seconds = time.monotonic() - self._began if self._began else 0.0
        process = self._server.process
        if process is None:
            return Sample(seconds, math.nan, math.nan, math.nan, math.nan)
        memory = process.memory_full_info()
        return Sample(
            seconds, memory.rss / 1e6, memory.uss / 1e6, process.num_fds(), process.num_threads()
        )

    def _settled(self) -> Sample:
        """Before the load, with everything loaded that a first connection loads."""
        self._metrics()
        time.sleep(_SETTLE_SECONDS)
        return self._sample()

    def _left_behind(self, before: Sample) -> dict[str, float]:
        """How many more descriptors, threads and sessions there are than before the load."""
        rest = self._server.rest
        # A visit of the churn may have been cut off in its middle.
        for code in self._sessions() - self._sessions_before:
            rest.call("DELETE", f"/api/sessions/{code}")
        if math.isnan(before.descriptors):
            return {}
        until = time.monotonic() + _QUIET_SECONDS
        while True:
            rest.close()
            time.sleep(1.0)
            after = self._sample()
            left = {
                "descriptors": after.descriptors - before.descriptors,
                "threads": after.threads - before.threads,
            }
            if time.monotonic() > until or not any(more > 0 for more in left.values()):
                return left

    def _sessions(self) -> set[str]:
        return set(self._server.rest.call("GET", "/api/sessions")[1]["sessions"])

    def _metrics(self) -> str:
        request = urllib.request.Request(
            f"http://{self._server.host}:{self._server.port}/metrics",
            headers={"Accept": "text/plain", "Connection": "close"},
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
            return str(answer.read().decode())


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. 0: nothing is lost or known to grow; 1: something is; 2: it could not run."""
    arguments = parser().parse_args(argv)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
            server = _server(arguments, folder)
            stack.callback(server.stop)
            code, about = Soak(arguments, server, stack).run()
            if arguments.json:
                arguments.json.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            return code
    except (ChildError, OSError, HTTPException, psutil.Error) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _server(arguments: Namespace, folder: Path) -> Server:
    if arguments.url:
        process = psutil.Process(arguments.pid) if arguments.pid else None
        return Server(arguments.url, process)
    most = arguments.sessions + _MORE_SESSIONS
    return StartedServer(arguments.recording, _RATE_HZ, most, folder)


def _late(ticks: Lateness) -> str:
    return (
        f"late p50 <= {_us(ticks.quantile(0.5)):.0f} us, p99 <= {_us(ticks.quantile(0.99)):.0f} us"
    )


def _us(seconds: float) -> float:
    return seconds * 1e6
