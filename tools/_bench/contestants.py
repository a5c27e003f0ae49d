"""Who is measured: the server, the floor, and what people would write instead.

A contestant is started once and measured in many slices. Between slices it has no connections and
does nothing, so that it does not take part in the slices of the others. Another kind of client
(of the server's LSL outlets, say) is a contestant more: it says which receivers to start.
"""

from __future__ import annotations

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import psutil

from .lsl import write_configuration
from .names import (
    ASYNCIO_DEADLINE,
    ASYNCIO_SLEEP,
    BESIDE_LSL,
    CHURNED,
    FLOOR,
    FLOOR_LOADED,
    PERTURBED,
    PHANTOMLINK,
    PHANTOMLINK_LSL,
    PYLSL_DEADLINE,
)
from .rest import server_report
from .server import Server
from .slices import ServerReport
from .talk import Child, ChildError

_START_SECONDS = 30.0


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


class Contestant(ABC):
    """What is common: nothing to do around a slice, and nothing to say after it."""

    name: str

    @property
    @abstractmethod
    def process(self) -> psutil.Process | None:
        """The process whose CPU and memory count; None: not known."""

    @abstractmethod
    def plan(self, index: int) -> Plan:
        """Get ready for slice `index`."""

    def begin(self) -> None:  # noqa: B027 - most have nothing to do here
        """The receivers have had their first packets; the slice begins soon."""

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """The slice is over: what the server says of it, and other figures by name."""
        return ServerReport(), {}

    def stop(self) -> None:  # noqa: B027 - most have nothing to end
        """End what was started."""


class Phantomlink(Contestant):
    """The server over WebSocket, MessagePack.

    Args:
        server: running.
        load: what is asked of it.
    """

    name = PHANTOMLINK

    def __init__(self, server: Server, load: Load) -> None:
        self.server = server
        self.load = load
        self._run = uuid.uuid4().hex[:8]
        self.codes: list[str] = []

    @property
    def process(self) -> psutil.Process | None:
        """Of the server."""
        return self.server.process

    def plan(self, index: int) -> Plan:
        """New sessions for every slice, so that what the server says is of the slice alone."""
        load = self.load
        self.codes = [f"jitter-{self._run}-{index}-{n}" for n in range(load.sessions)]
        if load.lsl and type(self) is Phantomlink:
            for code in self.codes:
                self._must("POST", "/api/sessions/create", {"custom_code": code, "lsl": False})
        if load.seam:
            total, before_seam = (
                int(str(self.server.metadata["total_packets"])),
                min(load.slice_seconds / 2, 20.0),
            )
            for code in self.codes:
                packet_id = max(total - 1 - int(before_seam * load.rate_hz), 0)
                self._must("POST", "/api/sessions/create", {"custom_code": code})
                self._must("POST", f"/api/control/{code}/seek", {"packet_id": packet_id})
        return Plan(
            "receiver",
            {"host": self.server.host, "port": self.server.port},
            [f"/stream/binary/{code}" for code in self.codes for _ in range(load.clients)],
            shared=load.clients > 1 and load.sessions == 1,
            wall_clock=True,
            seams=True,
        )

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """Ask what it measured, then end the sessions."""
        report = server_report(self.server.rest, self.codes)
        for code in self.codes:
            self.server.rest.call("DELETE", f"/api/sessions/{code}")
        return report, {}

    def _must(self, method: str, path: str, body: dict[str, Any]) -> None:
        status, answer = self.server.rest.call(method, path, body)
        if status != 200:
            raise ChildError(f"{method} {path}: {status} {answer}")


class Churned(Phantomlink):
    """The same while other sessions come and go, and REST is polled."""

    name = CHURNED
    OPERATIONS_PER_SECOND = 10
    REQUESTS_PER_SECOND = 50

    def __init__(self, server: Server, load: Load) -> None:
        super().__init__(server, load)
        self._churn: Child | None = None

    def begin(self) -> None:
        """Start the disturbance."""
        config = {
            "host": self.server.host,
            "port": self.server.port,
            "code": self.codes[0],
            "operations_per_second": self.OPERATIONS_PER_SECOND,
            "requests_per_second": self.REQUESTS_PER_SECOND,
        }
        self._churn = Child("churn", config)
        self._churn.read(_START_SECONDS)

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """Stop the disturbance."""
        assert self._churn is not None
        done = self._churn.ask({"stop": True}, _START_SECONDS)
        self._churn.stop()
        report, _ = super().end()
        return report, {name: float(value) for name, value in done.items()}

    def stop(self) -> None:
        """End the disturbance, should a slice have failed in between."""
        if self._churn is not None:
            self._churn.stop()


class OverLsl(Contestant):
    """The server over LSL: one session, an inlet for each of its outlets, the neural one measured.

    Args:
        server: running, with LSL.
        load: what is asked of it.
    """

    name = PHANTOMLINK_LSL

    def __init__(self, server: Server, load: Load) -> None:
        self.server = server
        self.load = load
        self._run = uuid.uuid4().hex[:8]
        self._code = ""

    @property
    def process(self) -> psutil.Process | None:
        """Of the server."""
        return self.server.process

    def plan(self, index: int) -> Plan:
        """A new session for every slice."""
        self._code = f"jitter-{self._run}-{index}"
        return Plan(
            "lsl_receiver",
            inlets(self.server, [self._code]) | {"rate_hz": str(self.load.rate_hz)},
            env=self.server.lsl_env,
        )

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """Ask what it measured, then end the session."""
        report = server_report(self.server.rest, [self._code])
        self.server.rest.call("DELETE", f"/api/sessions/{self._code}")
        return report, {}


class BesideLsl(Phantomlink):
    """Clients over WebSocket, whose sessions have an inlet at each of their outlets too."""

    name = BESIDE_LSL

    def __init__(self, server: Server, load: Load) -> None:
        super().__init__(server, load)
        self._inlets: Child | None = None
        self._config: dict[str, Any] = {}

    def plan(self, index: int) -> Plan:
        """As without inlets, and what is to be listened to."""
        plan = super().plan(index)
        self._config = inlets(self.server, self.codes) | {"rate_hz": str(self.load.rate_hz)}
        return plan

    def begin(self) -> None:
        """Connect the inlets; they listen until they are stopped."""
        out = {"out": str(self.load.folder / "beside.bin")}
        self._inlets = Child("lsl_receiver", self._config | out, self.server.lsl_env)
        self._inlets.read(_START_SECONDS)
        self._inlets.say({"end_ns": time.monotonic_ns() + int(3600e9)})

    def end(self) -> tuple[ServerReport, dict[str, float]]:
        """Leave with the inlets."""
        self.stop()
        return super().end()

    def stop(self) -> None:
        """End the inlets, also should a slice have failed."""
        if self._inlets is not None:
            self._inlets.stop()


def inlets(server: Server, codes: Sequence[str]) -> dict[str, Any]:
    """Sessions with outlets, and what a receiver is told to listen to all of them.

    Raises:
        ChildError: a session has none.
    """
    found: list[str] = []
    for code in codes:
        _, answer = server.rest.call("POST", "/api/sessions/create", {"custom_code": code})
        said = (answer or {}).get("lsl") or {}
        if not said.get("streams"):
            raise ChildError(f"session {code} has no LSL streams: {said.get('reason') or answer}")
        found += [stream["source_id"] for stream in said["streams"]]
    return {"source_id": found[0], "beside": found[1:], "numbered": False}


class Perturbed(Phantomlink):
    """The same with every packet perturbed."""

    name = PERTURBED
    PERTURBATION = "extreme"

    def plan(self, index: int) -> Plan:
        """New sessions for every slice, perturbed from their first packet on."""
        plan = super().plan(index)
        for code in self.codes:
            self._must("POST", "/api/sessions/create", {"custom_code": code})
            wanted = {"perturbation": self.PERTURBATION, "seed": index}
            self._must("PUT", f"/api/sessions/{code}/perturbation", wanted)
        return plan


class Sender(Contestant):
    """A process of this package that sends.

    Args:
        name: of the contestant.
        module: that it runs.
        config: beside the packets and the rate.
        load: what is asked of it.
        paths: of its connections.

    Raises:
        ChildError: it cannot be had on this machine.
    """

    def __init__(
        self,
        name: str,
        module: str,
        config: dict[str, Any],
        load: Load,
        paths: Sequence[str | None],
    ) -> None:
        self.name = name
        self._paths = paths
        packets = {"packets": str(load.packets), "rate_hz": str(load.rate_hz)}
        self._child = Child(module, config | packets)
        try:
            self._port = int(self._child.read(_START_SECONDS)["port"])
        except ChildError:
            self._child.stop()
            raise

    @property
    def process(self) -> psutil.Process | None:
        """The sender's."""
        return psutil.Process(self._child.pid)

    def plan(self, index: int) -> Plan:
        """The same in every slice."""
        return Plan("receiver", {"host": "127.0.0.1", "port": self._port}, self._paths)

    def stop(self) -> None:
        """End the process."""
        self._child.stop()


class PylslSender(Contestant):
    """A loop that pushes to an outlet of LSL; one inlet.

    Raises:
        ChildError: LSL cannot be had on this machine.
    """

    name = PYLSL_DEADLINE

    def __init__(self, load: Load) -> None:
        self._source_id = f"jitter-{uuid.uuid4().hex}"
        self._env = write_configuration(load.folder / "lsl_api.cfg", self._source_id)
        config = {"source_id": self._source_id, "packets": str(load.packets)}
        self._child = Child("lsl_sender", config | {"rate_hz": str(load.rate_hz)}, self._env)
        try:
            self._child.read(_START_SECONDS)
        except ChildError:
            self._child.stop()
            raise

    @property
    def process(self) -> psutil.Process | None:
        """The sender's."""
        return psutil.Process(self._child.pid)

    def plan(self, index: int) -> Plan:
        """The same in every slice."""
        return Plan("lsl_receiver", {"source_id": self._source_id}, env=self._env)

    def stop(self) -> None:
        """End the process."""
        self._child.stop()


def start(name: str, server: Server, load: Load) -> Contestant:
    """Start a contestant by its name.

    Raises:
        ChildError: it cannot be had on this machine.
        KeyError: there is none of that name.
    """
    if name == PHANTOMLINK:
        return Phantomlink(server, load)
    if name == CHURNED:
        return Churned(server, load)
    if name == PERTURBED:
        return Perturbed(server, load)
    if name == PYLSL_DEADLINE:
        return PylslSender(load)
    if name == PHANTOMLINK_LSL:
        return OverLsl(server, load)
    if name == BESIDE_LSL:
        return BesideLsl(server, load)
    if name == FLOOR:
        # One connection, whatever is asked of the others: the floor of a machine, not of a load.
        return Sender(name, "floor", {"margin_ns": load.floor_margin_ns}, load, [None])
    if name == FLOOR_LOADED:
        # And what the machine allows the same loop when it has as much to send as the others.
        n = load.connections
        config = {"connections": n, "margin_ns": load.floor_margin_ns // n}
        return Sender(name, "floor", config, load, [None] * n)
    loop = {ASYNCIO_SLEEP: "sleep", ASYNCIO_DEADLINE: "deadline"}[name]
    return Sender(name, "asyncio_loops", {"loop": loop}, load, ["/"] * load.connections)
