"""Who is measured: the server, the floor, and what people would write instead.

A contestant is started once and measured in many slices. Between slices it has no connections and
does nothing, so that it does not take part in the slices of the others. Another kind of client
(of the server's LSL outlets, say) is a contestant more: it says which receivers to start.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from ..harness.children import Child, ChildError
from ..harness.disturbance import OPERATIONS, REQUESTS
from ..harness.lsl_configuration import write_configuration
from ..harness.server import Server
from .slices import ServerReport

FLOOR = "floor"
FLOOR_LOADED = "floor-loaded"
PHANTOMLINK = "phantomlink"
CHURNED = "phantomlink-churn"
PERTURBED = "phantomlink-perturbed"
ASYNCIO_SLEEP = "asyncio-sleep"
ASYNCIO_DEADLINE = "asyncio-deadline"
PYLSL_DEADLINE = "pylsl-deadline"
PHANTOMLINK_LSL = "phantomlink-lsl"
BESIDE_LSL = "phantomlink-beside-lsl"

_START_SECONDS = 30.0
_TRIALS = 16


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of every contestant of a run.

    Attributes:
        rate_hz: packets a second.
        sessions: at once.
        clients: of each session.
        packets: file of packets that senders send.
        folder: for files of the run.
        floor_margin_ns: how early the bare loop stops sleeping.
        seam: whether sessions start just before the end of the recording.
        slice_seconds: length of a slice.
        lsl: whether the server has LSL, so that sessions without have to ask for it.
    """

    rate_hz: Fraction
    sessions: int
    clients: int
    packets: Path
    folder: Path
    floor_margin_ns: int
    seam: bool
    slice_seconds: float
    lsl: bool = False

    @property
    def connections(self) -> int:
        """Connections that are measured."""
        return self.sessions * self.clients


@dataclass(frozen=True, slots=True)
class Plan:
    """The receivers of a slice.

    Attributes:
        module: that they run.
        address: host and port of the sender, or how else it is found.
        paths: of the connections: one each, None without a handshake.
        shared: whether the connections get the same packets.
        wall_clock: whether stamps are Unix time; else CLOCK_MONOTONIC, s.
        seams: whether a packet id that falls back means that a recording began again.
        env: variables of the receivers.
    """

    module: str
    address: dict[str, Any]
    paths: Sequence[str | None] = (None,)
    shared: bool = False
    wall_clock: bool = False
    seams: bool = False
    env: dict[str, str] = field(default_factory=dict)


class Phantomlink:
    """The server over WebSocket, MessagePack.

    Args:
        server: running.
        load: what is asked of it.
    """

    name = PHANTOMLINK
    wants_lsl = False

    def __init__(self, server: Server, load: Load) -> None:
        self.server = server
        self.load = load
        self.process = server.process
        self.codes: list[str] = []
        self._run = uuid.uuid4().hex[:8]
        self._beside: Child | None = None

    def plan(self, index: int) -> Plan:
        """Get ready for a slice: new sessions, so that what the server says is of it alone."""
        load = self.load
        self.codes = [f"jitter-{self._run}-{index}-{n}" for n in range(load.sessions)]
        if load.lsl and not self.wants_lsl:
            for code in self.codes:
                self.server.must(
                    "POST", "/api/sessions/create", {"custom_code": code, "lsl": False}
                )
        if load.seam:
            before_seam = min(load.slice_seconds / 2, 20.0)
            last = self.server.metadata["total_packets"] - 1
            for code in self.codes:
                packet_id = max(last - int(before_seam * load.rate_hz), 0)
                self.server.must("POST", "/api/sessions/create", {"custom_code": code})
                self.server.must("POST", f"/api/control/{code}/seek", {"packet_id": packet_id})
        return Plan(
            "harness.receiver",
            {"host": self.server.host, "port": self.server.port},
            [f"/stream/binary/{code}" for code in self.codes for _ in range(load.clients)],
            shared=load.clients > 1 and load.sessions == 1,
            wall_clock=True,
            seams=True,
        )

    def begin(self) -> None:
        """The receivers have had their first packets; the slice begins soon."""

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """The slice is over: what the server says of it, and other figures by name."""
        report = server_report(self.server, self.codes)
        for code in self.codes:
            self.server.call("DELETE", f"/api/sessions/{code}")
        return report, {}

    def stop(self) -> None:
        """End what was started, also should a slice have failed."""
        if self._beside is not None:
            self._beside.stop()


class Churned(Phantomlink):
    """The same while other sessions come and go, and REST is polled."""

    name = CHURNED
    OPERATIONS_PER_SECOND = 10
    REQUESTS_PER_SECOND = 50

    def begin(self) -> None:
        config = {
            "host": self.server.host,
            "port": self.server.port,
            "code": self.codes[0],
            "n_trials": _TRIALS,
            "per_second": {
                OPERATIONS: self.OPERATIONS_PER_SECOND,
                REQUESTS: self.REQUESTS_PER_SECOND,
            },
        }
        self._beside = Child("harness.disturbance", config)
        self._beside.read(_START_SECONDS)

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        assert self._beside is not None
        done = self._beside.ask({"stop": True}, _START_SECONDS)
        self.stop()
        notes = {"seconds": done["seconds"]}
        for kind, name in ((OPERATIONS, "operations"), (REQUESTS, "requests")):
            n, failed = done["calls"][kind]
            notes |= {name: float(n), f"{name}_failed": float(failed)}
        return super().end()[0], notes


class OverLsl(Phantomlink):
    """The server over LSL: one session, an inlet for each outlet, the neural one measured."""

    name = PHANTOMLINK_LSL

    def plan(self, index: int) -> Plan:
        self.codes = [f"jitter-{self._run}-{index}"]
        return Plan("jitter.lsl_receiver", self.inlets(), env=self.server.lsl_env)

    def inlets(self) -> dict[str, Any]:
        """Make sessions with outlets; what a receiver is told to listen to all of them.

        Raises:
            ChildError: a session has none.
        """
        found: list[str] = []
        for code in self.codes:
            answer = self.server.must("POST", "/api/sessions/create", {"custom_code": code})
            said = answer["lsl"] or {}
            if not said.get("streams"):
                raise ChildError(f"session {code} has no LSL streams: {said.get('reason')}")
            found += [stream["source_id"] for stream in said["streams"]]
        numbering = {"numbered": False, "rate_hz": str(self.load.rate_hz)}
        return {"source_id": found[0], "beside": found[1:]} | numbering


class BesideLsl(OverLsl):
    """Clients over WebSocket, whose sessions have an inlet at each of their outlets too."""

    name = BESIDE_LSL
    wants_lsl = True

    def plan(self, index: int) -> Plan:
        plan = Phantomlink.plan(self, index)
        self.listening = self.inlets()
        return plan

    def begin(self) -> None:
        """Connect the inlets; they listen until they are stopped."""
        self._beside = Child("jitter.lsl_receiver", self.listening, self.server.lsl_env)
        self._beside.read(_START_SECONDS)
        out = str(self.load.folder / "beside.bin")
        self._beside.say({"end_ns": time.monotonic_ns() + int(3600e9), "out": out})

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        self.stop()
        return super().end()


class Perturbed(Phantomlink):
    """The same with every packet perturbed."""

    name = PERTURBED
    PERTURBATION = "extreme"

    def plan(self, index: int) -> Plan:
        plan = super().plan(index)
        wanted = {"perturbation": self.PERTURBATION, "seed": index}
        for code in self.codes:
            self.server.must("POST", "/api/sessions/create", {"custom_code": code})
            self.server.must("PUT", f"/api/sessions/{code}/perturbation", wanted)
        return plan


class Sender:
    """A process of these tools that sends.

    Args:
        name: of the contestant.
        module: that it runs.
        config: beside the packets and the rate.
        load: what is asked of it.
        plan: of every slice; the port that the sender tells is added to its address.
        env: variables of the process.

    Raises:
        ChildError: it cannot be had on this machine.
    """

    def __init__(
        self,
        name: str,
        module: str,
        config: dict[str, Any],
        load: Load,
        plan: Plan,
        env: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self._plan = plan
        packets = {"packets": str(load.packets), "rate_hz": str(load.rate_hz)}
        self._child = Child(module, config | packets, env)
        try:
            plan.address.update(self._child.read(_START_SECONDS))
        except ChildError:
            self._child.stop()
            raise
        self.process = psutil.Process(self._child.pid)

    def plan(self, index: int) -> Plan:
        """The same in every slice."""
        return self._plan

    def begin(self) -> None:
        """Nothing is to be done."""

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """It says nothing."""
        return ServerReport(), {}

    def stop(self) -> None:
        """End the process."""
        self._child.stop()


Contestant = Phantomlink | Sender


def _over_tcp(paths: Sequence[str | None]) -> Plan:
    return Plan("harness.receiver", {"host": "127.0.0.1"}, paths)


def _floor(_server: Server, load: Load) -> Sender:
    # One connection, whatever is asked of the others: the floor of a machine, not of a load.
    config = {"connections": 1, "margin_ns": load.floor_margin_ns}
    return Sender(FLOOR, "jitter.floor", config, load, _over_tcp([None]))


def _floor_loaded(_server: Server, load: Load) -> Sender:
    # And what the machine allows the same loop when it has as much to send as the others.
    n = load.connections
    config = {"connections": n, "margin_ns": load.floor_margin_ns // n}
    return Sender(FLOOR_LOADED, "jitter.floor", config, load, _over_tcp([None] * n))


def _asyncio(loop: str) -> Callable[[Server, Load], Sender]:
    def begin(_server: Server, load: Load) -> Sender:
        plan = _over_tcp(["/"] * load.connections)
        return Sender(f"asyncio-{loop}", "jitter.asyncio_loops", {"loop": loop}, load, plan)

    return begin


def _pylsl(_server: Server, load: Load) -> Sender:
    source_id = f"jitter-{uuid.uuid4().hex}"
    env = write_configuration(load.folder / "lsl_api.cfg", source_id)
    plan = Plan("jitter.lsl_receiver", {}, env=env)
    config = {"source_id": source_id}
    return Sender(PYLSL_DEADLINE, "jitter.lsl_sender", config, load, plan, env)


STARTS: dict[str, Callable[[Server, Load], Contestant]] = {
    **{kind.name: kind for kind in (Phantomlink, Churned, Perturbed, OverLsl, BesideLsl)},
    FLOOR: _floor,
    FLOOR_LOADED: _floor_loaded,
    ASYNCIO_SLEEP: _asyncio("sleep"),
    ASYNCIO_DEADLINE: _asyncio("deadline"),
    PYLSL_DEADLINE: _pylsl,
}
"""How each is started, by its name. ChildError: it cannot be had on this machine."""


def server_report(server: Server, codes: Sequence[str]) -> ServerReport:
    """What the server says of the lateness of sessions, over their unfiltered playheads."""
    route = "/api/sessions/{code}/timing"
    playheads = [server.must("GET", route.format(code=code))["playheads"][0] for code in codes]

    def us(name: str, percentile: str) -> list[float]:
        values = [playhead[name][percentile] for playhead in playheads]
        return [value * 1e3 for value in values if value is not None] or [float("nan")]

    return ServerReport(
        median(us("lateness_us", "p50")),
        max(us("lateness_us", "p99")),
        max(us("handover_us", "p50")),
        float(sum(playhead["stalls"] for playhead in playheads)),
        float(sum(playhead["overruns"] for playhead in playheads)),
        f"GET {route}",
    )
