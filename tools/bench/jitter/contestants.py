"""Who is measured: the server, the floor, and what people would write instead.

A contestant is started once and measured in many slices. Between slices it has no connections and
does nothing, so that it does not take part in the slices of the others. Another kind of client
(of the server's LSL outlets, say) is a contestant more: it says which receivers to start.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil

from ..harness.children import Child, ChildError, Message
from ..harness.disturbance import OPERATIONS, REQUESTS
from ..harness.lsl_configuration import write_configuration
from ..harness.server import Server
from .slices import ServerReport

if TYPE_CHECKING:
    from .scenarios import Scenario

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
_HERE = {"host": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of every contestant of a run.

    Attributes:
        scenario: its rate, sessions and clients.
        packets: that senders send.
        folder: for files of the run.
        floor_margin_ns: how early the bare loop stops sleeping.
    """

    scenario: Scenario
    packets: list[bytes]
    folder: Path
    floor_margin_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The receivers of a slice.

    Attributes:
        module: that they run.
        address: host and port of the sender, or how else it is found.
        paths: of the connections: one each, None without a handshake.
        shared: whether the connections get the same packets.
        of_server: whether the server sends: its stamps are Unix time and not CLOCK_MONOTONIC, and
            where a packet id falls back a recording began again.
        env: variables of the receivers.
    """

    module: str
    address: dict[str, Any]
    paths: Sequence[str | None] = (None,)
    shared: bool = False
    of_server: bool = False
    env: dict[str, str] = field(default_factory=dict)


class Contestant:
    """One of them. What it is measured with beside the packets is for it to say.

    Attributes:
        name: of it.
        process: that sends; None where it is not known.
    """

    name = ""
    process: psutil.Process | None = None

    def __init__(self) -> None:
        self._children = ExitStack()

    def plan(self, index: int) -> Plan:
        """Get ready for a slice."""
        raise NotImplementedError

    def begin(self) -> None:
        """The receivers have had their first packets; the slice begins soon."""

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """The slice is over: what the server says of it, and other figures by name."""
        return ServerReport(), {}

    def stop(self) -> None:
        """End what was started, also should a slice have failed."""
        self._children.close()

    def _start(
        self, module: str, config: Message, env: dict[str, str] | None = None
    ) -> tuple[Child, Message]:
        """A process that runs until `stop`, and what it said first."""
        child = self._children.enter_context(Child(module, config, env))
        try:
            return child, child.read(_START_SECONDS)
        except ChildError:
            self.stop()
            raise


class Phantomlink(Contestant):
    """The server over WebSocket, MessagePack.

    Args:
        server: running.
        load: what is asked of it.
    """

    name = PHANTOMLINK
    wants_lsl = False

    def __init__(self, server: Server, load: Load) -> None:
        super().__init__()
        self.server = server
        self.load = load
        self.process = server.process
        self.codes: list[str] = []
        self._run = uuid.uuid4().hex[:8]

    def plan(self, index: int) -> Plan:
        """Get ready for a slice: new sessions, so that what the server says is of it alone."""
        scenario = self.load.scenario
        self.codes = [f"jitter-{self._run}-{index}-{n}" for n in range(scenario.sessions)]
        if scenario.lsl and not self.wants_lsl:
            for code in self.codes:
                self.create(code, lsl=False)
        if scenario.seam:
            before_seam = min(scenario.slice_seconds / 2, 20.0)
            last = self.server.metadata["total_packets"] - 1
            packet_id = max(last - int(before_seam * scenario.rate_hz), 0)
            for code in self.codes:
                self.create(code)
                self.server.must("POST", f"/api/control/{code}/seek", {"packet_id": packet_id})
        return Plan(
            "harness.receiver",
            self.server.address,
            [f"/stream/binary/{code}" for code in self.codes for _ in range(scenario.clients)],
            shared=scenario.clients > 1 and scenario.sessions == 1,
            of_server=True,
        )

    def create(self, code: str, **asked: Any) -> Message:
        """A session; what the server says of it."""
        body = {"custom_code": code, **asked}
        answer: Message = self.server.must("POST", "/api/sessions/create", body)
        return answer

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """What the server says of the lateness of its sessions, over unfiltered playheads."""
        routes = [f"/api/sessions/{code}" for code in self.codes]
        timing = [self.server.must("GET", f"{route}/timing") for route in routes]
        found = pd.json_normalize([each["playheads"][0] for each in timing])
        for route in routes:
            self.server.call("DELETE", route)
        report = ServerReport(
            pd.to_numeric(found["lateness_us.p50"]).median() * 1e3,
            pd.to_numeric(found["lateness_us.p99"]).max() * 1e3,
            pd.to_numeric(found["handover_us.p50"]).max() * 1e3,
            float(found["stalls"].sum()),
            float(found["overruns"].sum()),
            "GET /api/sessions/{code}/timing",
        )
        return report, {}


class Churned(Phantomlink):
    """The same while other sessions come and go, and REST is polled."""

    name = CHURNED
    PER_SECOND = {OPERATIONS: 10, REQUESTS: 50}  # noqa: RUF012

    def begin(self) -> None:
        asked = {"code": self.codes[0], "n_trials": _TRIALS, "per_second": self.PER_SECOND}
        self._disturbance, _ = self._start("harness.disturbance", self.server.address | asked)

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        done = self._disturbance.ask({"stop": True}, _START_SECONDS)
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
            said = self.create(code)["lsl"] or {}
            if not said.get("streams"):
                raise ChildError(f"session {code} has no LSL streams: {said.get('reason')}")
            found += [stream["source_id"] for stream in said["streams"]]
        numbering = {"numbered": False, "rate_hz": str(self.load.scenario.rate_hz)}
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
        inlets, _ = self._start("jitter.lsl_receiver", self.listening, self.server.lsl_env)
        inlets.say({"end_ns": time.monotonic_ns() + int(3600e9)})

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
            self.create(code)
            self.server.must("PUT", f"/api/sessions/{code}/perturbation", wanted)
        return plan


class Sender(Contestant):
    """A process of these tools that sends.

    Args:
        name: of the contestant.
        module: that it runs.
        config: beside the packets and the rate.
        load: what is asked of it.
        plan: of every slice; the port that the sender tells is added to its address.

    Raises:
        ChildError: it cannot be had on this machine.
    """

    def __init__(self, name: str, module: str, config: Message, load: Load, plan: Plan) -> None:
        super().__init__()
        self.name = name
        packets = {"packets": load.packets, "rate_hz": str(load.scenario.rate_hz)}
        child, said = self._start(module, config | packets, plan.env)
        self._plan = replace(plan, address=plan.address | said)
        self.process = psutil.Process(child.pid)

    def plan(self, index: int) -> Plan:
        """The same in every slice."""
        return self._plan


def _floor(name: str, load: Load, n: int) -> Sender:
    config = {"connections": n, "margin_ns": load.floor_margin_ns // n}
    plan = Plan("harness.receiver", _HERE, [None] * n)
    return Sender(name, "jitter.floor", config, load, plan)


def _asyncio(name: str, load: Load) -> Sender:
    plan = Plan("harness.receiver", _HERE, ["/"] * load.scenario.connections)
    config = {"loop": name.removeprefix("asyncio-")}
    return Sender(name, "jitter.asyncio_loops", config, load, plan)


def _pylsl(_server: Server, load: Load) -> Sender:
    source_id = f"jitter-{uuid.uuid4().hex}"
    plan = Plan(
        "jitter.lsl_receiver", {}, env=write_configuration(load.folder / "lsl_api.cfg", source_id)
    )
    return Sender(PYLSL_DEADLINE, "jitter.lsl_sender", {"source_id": source_id}, load, plan)


STARTS: dict[str, Callable[[Server, Load], Contestant]] = {
    **{kind.name: kind for kind in (Phantomlink, Churned, Perturbed, OverLsl, BesideLsl)},
    # One connection, whatever is asked of the others: the floor of a machine, not of a load.
    FLOOR: lambda _, load: _floor(FLOOR, load, 1),
    # And what the machine allows the same loop when it has as much to send as the others.
    FLOOR_LOADED: lambda _, load: _floor(FLOOR_LOADED, load, load.scenario.connections),
    ASYNCIO_SLEEP: lambda _, load: _asyncio(ASYNCIO_SLEEP, load),
    ASYNCIO_DEADLINE: lambda _, load: _asyncio(ASYNCIO_DEADLINE, load),
    PYLSL_DEADLINE: _pylsl,
}
"""How each is started, by its name. ChildError: it cannot be had on this machine."""
