"""Play for a long time under everything at once, and look whether anything grows or is lost.

    python tools/soak.py --minutes 20
    python tools/soak.py --minutes 3 --json soak.json

Churn, slow clients, hostile connections and REST load at once. Exit code 1: something grows or is
lost. docs/internals/soak.md says what is done, what is counted and what is decided from it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from fractions import Fraction
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.harness import stopped
from tools.bench.harness.children import Child, ChildError, Message
from tools.bench.harness.disturbance import HOSTILE, OPERATIONS, REQUESTS
from tools.bench.harness.server import Server, add_arguments, chosen, positive
from tools.bench.harness.text import as_json, numbers
from tools.bench.soak.prometheus import Lateness, lateness, total
from tools.bench.soak.verdicts import Heard, Sample, exit_code, judge, text, warm_up_seconds

_RATE_HZ = Fraction(40)
# Beside those that are listened to: what churns, what is hostile.
_MORE_SESSIONS = 30
_READY_SECONDS = 120.0
_MOST_TRIALS = 16
_SLOW_SECONDS = (5.0, 40.0)
_SLOW_CLIENTS = "phantomlink_slow_clients_total"
_ENDINGS = {
    "too_slow": 4408,
    "cut_off": stopped.CUT_OFF,
    "stayed": stopped.STAYED,
    "refused": stopped.REFUSED,
}
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

    def __init__(self, arguments: argparse.Namespace, server: Server, stack: ExitStack) -> None:
        self._arguments = arguments
        self._server = server
        self._stack = stack
        run = uuid.uuid4().hex[:6]
        self._codes = [f"soak-{run}-{n}" for n in range(arguments.sessions)]
        self._began = 0.0
        self.heard = Heard([0] * arguments.sessions)
        self.samples: list[Sample] = []
        self.lines: list[dict[str, Any]] = []

    def run(self) -> tuple[int, dict[str, Any]]:
        """Load the server, and say what came of it: exit code, and everything for programs."""
        arguments, seconds = self._arguments, 60 * self._arguments.minutes
        sessions_before = self._sessions()
        slow_before = total(self._metrics(), _SLOW_CLIENTS)
        # With everything loaded that a first connection loads.
        time.sleep(_SETTLE_SECONDS)
        before = self._sample()
        listeners = self._start("receiver", {})
        listening_since = time.monotonic()
        per_second = {
            OPERATIONS: arguments.churn,
            REQUESTS: arguments.requests,
            HOSTILE: arguments.hostile,
        }
        n_trials = min(_MOST_TRIALS, self._server.metadata["num_trials"])
        load = {"code": self._codes[0], "n_trials": n_trials, "per_second": per_second}
        trouble = self._start("disturbance", load)
        slow = self._start("stopped", {"n": arguments.slow, "seconds": _SLOW_SECONDS})
        self._began = heard_at = time.monotonic()
        first = latest = lateness(self._metrics())
        print(f"{len(self._codes)} sessions, {seconds:g} s of load", flush=True)
        while (left := self._began + seconds - time.monotonic()) > 0:
            end_ns = time.monotonic_ns() + int(1e9 * min(arguments.every, left))
            told = listeners.ask({"end_ns": end_ns}, arguments.every + _ANSWER_SECONDS)
            heard_at = time.monotonic()
            self.heard.add(told)
            latest = self._look(trouble.ask({}, _ANSWER_SECONDS)["calls"], latest)
        calls = trouble.ask({"stop": True}, _ANSWER_SECONDS)["calls"]
        endings = _endings(slow.ask({"stop": True}, _ANSWER_SECONDS))
        n_slow = total(self._metrics(), _SLOW_CLIENTS) - slow_before
        for child in (listeners, trouble, slow):
            child.stop()
        left_behind = self._left_behind(before, sessions_before)
        expected = float(self._server.rate_hz) * (heard_at - listening_since)
        warm_up = warm_up_seconds(seconds)
        verdicts = judge(self.heard, expected, self.samples, warm_up, left_behind, calls)
        everything = latest.since(first)
        late_us = ", ".join(f"{1e6 * everything.quantile(share):.0f}" for share in (0.5, 0.99))
        print(f"\n{everything.ticks} ticks, late p50, p99 at most {late_us} us")
        shown = ", ".join(f"{name} {n}" for name, n in endings.items())
        print(f"slow clients: {shown}; {n_slow:.0f} lost packets or were closed, says the server")
        print(text(verdicts))
        about = {
            "seconds": heard_at - self._began,
            "sessions": len(self._codes),
            "ticks": everything.ticks,
            "lateness": everything,
            "lines": self.lines,
            "done": {"calls": calls, "slow_clients": endings},
            "slow_for_server": n_slow,
            "left_behind": left_behind,
        }
        return exit_code(verdicts), about | {"verdicts": verdicts, "samples": self.samples}

    def _start(self, name: str, config: Message) -> Child:
        paths = {"paths": [f"/stream/binary/{code}" for code in self._codes]}
        child = Child(f"harness.{name}", self._server.address | paths | config)
        self._stack.enter_context(child).read(_READY_SECONDS)
        return child

    def _look(self, calls: Message, before: Lateness) -> Lateness:
        metrics = self._metrics()
        now, sample = lateness(metrics), self._sample()
        since = now.since(before)
        self.samples.append(sample)
        line = {
            "seconds": sample.seconds,
            "ticks": since.ticks,
            "gaps": self.heard.n_gaps,
            "closed": len(self.heard.closed),
            "lateness_p50_us": 1e6 * since.quantile(0.5),
            "lateness_p99_us": 1e6 * since.quantile(0.99),
            "stalls": total(metrics, "phantomlink_stalls_total"),
            "dropped_for_slow": total(metrics, "phantomlink_packets_dropped_total"),
            "calls": calls,
        }
        self.lines.append(line)
        shown = numbers(line | asdict(sample))
        print("  ".join(f"{name} {value:.6g}" for name, value in shown), flush=True)
        return now

    def _sample(self) -> Sample:
        seconds = time.monotonic() - self._began if self._began else 0.0
        process = self._server.process
        if process is None:
            return Sample(seconds)
        memory = process.memory_full_info()
        return Sample(
            seconds, memory.rss / 1e6, memory.uss / 1e6, process.num_fds(), process.num_threads()
        )

    def _left_behind(self, before: Sample, sessions_before: set[str]) -> dict[str, float]:
        """How many more descriptors and threads there are than before the load."""
        # A visit of the churn may have been cut off in its middle.
        for code in self._sessions() - sessions_before:
            self._server.call("DELETE", f"/api/sessions/{code}")
        left: dict[str, float] = {}
        until = time.monotonic() + _QUIET_SECONDS
        while self._server.process is not None:
            self._server.disconnect()
            time.sleep(1.0)
            after = self._sample()
            left["descriptors"] = after.descriptors - before.descriptors
            left["threads"] = after.threads - before.threads
            if time.monotonic() > until or max(left.values()) <= 0:
                break
        return left

    def _sessions(self) -> set[str]:
        return set(self._server.must("GET", "/api/sessions")["sessions"])

    def _metrics(self) -> str:
        metrics = self._server.call("GET", "/metrics", headers={"Accept": "text/plain"})[1]
        self._server.disconnect()
        return str(metrics)


def _endings(done: Message) -> dict[str, int]:
    """By kind, of what the process of stopped clients told."""
    codes = Counter(dict(done["codes"]))
    found = {name: codes.pop(code, 0) for name, code in _ENDINGS.items()}
    return {"came": done["came"], "closed": codes.total()} | found


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. 0: nothing is lost or known to grow; 1: something is; 2: it could not run."""
    arguments = parser().parse_args(argv)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
            server = chosen(arguments, _RATE_HZ, arguments.sessions + _MORE_SESSIONS, folder)
            stack.callback(server.stop)
            code, about = Soak(arguments, server, stack).run()
            if arguments.json:
                arguments.json.write_bytes(as_json(about))
            return code
    except (ChildError, OSError, HTTPException, psutil.Error) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    number, whole = positive(float), positive(int)
    made.add_argument("--minutes", type=number, default=20.0, help="of load (%(default)s)")
    made.add_argument(
        "--sessions", type=whole, default=30, help="each with a well-behaved client (%(default)s)"
    )
    add_arguments(made)
    made.add_argument("--every", type=number, default=10.0, help="seconds between lines (10)")
    made.add_argument("--churn", type=number, default=4.0, help="operations a second (4)")
    made.add_argument("--requests", type=number, default=20.0, help="REST calls a second (20)")
    made.add_argument("--hostile", type=number, default=2.0, help="connections a second (2)")
    made.add_argument("--slow", type=int, default=10, help="clients that do not read, at once (10)")
    return made


if __name__ == "__main__":
    sys.exit(main())
