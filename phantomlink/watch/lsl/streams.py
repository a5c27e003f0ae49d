"""Finds the streams of a session and receives them: inlets, each in a thread of its own.

liblsl blocks and knows no event loop. Waiting in it lets the interpreter go, so four threads that
wait are no burden; what they gather is read by the command's own thread when they are done.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from phantomlink.errors import PhantomLinkError
from phantomlink.watch.figures import Arrivals
from phantomlink.watch.lsl.facts import StreamFacts, parse_facts
from phantomlink.watch.lsl.figures import Seconds
from phantomlink.watch.lsl.names import NEURAL, OUTLETS, source_id

_LOOK_SECONDS = 0.02
_DESCRIPTION_SECONDS = 5.0
_OFFSET_SECONDS = 2.0
# How soon a thread sees that it is to stop.
_PULL_SECONDS = 0.2
_BUFFER_SECONDS = 30
_MARKERS_KEPT = 1000
_BYTES = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8}
# Streams of a server on loopback are found by asking ports, and eight sessions take all that are
# asked by default. Without a level it says on stderr which interfaces there are.
_CONFIGURATION = "[ports]\nPortRange = 256\n[log]\nlevel = -2\n"
# Where liblsl looks for its configuration, in this order.
_CONFIGURATIONS = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")


class CannotWatchLslError(PhantomLinkError):
    """There is nothing to watch: no LSL on this machine, or no such stream.

    Attributes:
        cures: what a person can do about it, a line each.
    """

    title = "Cannot watch over LSL"

    def __init__(self, message: str, cures: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.cures = tuple(cures)


def configuration() -> str | None:
    """The file from which liblsl takes its configuration; None where it has its own defaults."""
    named = os.environ.get("LSLAPICFG")
    if named:
        return named
    return next((name for name in _CONFIGURATIONS if Path(name).expanduser().is_file()), None)


def load_pylsl() -> Any:
    """The module pylsl, imported when it is needed. It has no types.

    Without a configuration of a person's own it asks more ports, and logs errors only.

    Raises:
        CannotWatchLslError: there is no pylsl, or no liblsl for it.
    """
    try:
        import pylsl  # noqa: PLC0415
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CannotWatchLslError(
            f"LSL is not available: {reason}; install liblsl (pylsl's wheels bring it along on "
            "Linux with glibc 2.35 or newer, on macOS and on Windows) and name it in PYLSL_LIB"
        ) from error
    if configuration() is None:
        # Does nothing when this process has had an inlet or outlet before.
        pylsl.set_config_content(_CONFIGURATION)
    return pylsl


class Stream:
    """One stream of a session: its inlet and what has come through it.

    Attributes:
        kind: of the outlet, as in its source id.
        facts: its description.
        offset_seconds: to be added to its timestamps to have them in this machine's clock; None
            when it could not be measured.
        arrivals: when samples came, this machine's LSL clock, ns.
        markers: the first of an irregular stream: timestamp and text.
        negative_counts: samples of the neural stream that are no counts.
        ended: whether the outlet went away.
    """

    def __init__(self, pylsl: Any, kind: str, found: Any) -> None:
        self.kind = kind
        self._clock: Callable[[], float] = pylsl.local_clock
        self._lost_error: type[Exception] = pylsl.util.LostError
        # Not to be recovered: that its outlet went away is one of the things to be told.
        self._inlet = pylsl.StreamInlet(found, max_buflen=_BUFFER_SECONDS, recover=False)
        try:
            self.facts: StreamFacts = parse_facts(self._inlet.info(_DESCRIPTION_SECONDS).as_xml())
        except (TimeoutError, self._lost_error, ValueError) as error:
            raise CannotWatchLslError(
                f"the {kind} stream was found and does not answer: {error}",
                (
                    "the network lets the answers to a search through, and not the connection: "
                    "TCP and UDP ports 16572 to 16604 have to be open on the server's machine",
                ),
            ) from error
        self.offset_seconds: float | None = None
        self.arrivals = Arrivals()
        self.markers: list[tuple[float, str]] = []
        self.negative_counts = 0
        self.ended = False
        self._stamps = array("d")
        self._sample_bytes = self.facts.n_channels * _BYTES.get(self.facts.format, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._receive, name=f"lsl-{kind}", daemon=True)

    @property
    def n_samples(self) -> int:
        """Received so far."""
        return len(self._stamps)

    @property
    def stamps(self) -> Seconds:
        """(n,) timestamps, s of the sender's clock."""
        return np.array(self._stamps, dtype=np.float64)

    @property
    def received(self) -> Seconds:
        """(n,) when each sample came, s of this machine's LSL clock."""
        return np.array(self.arrivals.packets_ns[: len(self._stamps)], dtype=np.float64) / 1e9

    def start(self, connecting_ns: int) -> None:
        """Open the stream and receive.

        Args:
            connecting_ns: when the search began, this machine's LSL clock.
        """
        self.arrivals.connecting_ns = connecting_ns
        self.arrivals.opened_ns = self.arrivals.ended_ns = self._now_ns()
        self._thread.start()

    def stop(self) -> None:
        """Receive no more. Takes a fifth of a second when nothing comes."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _PULL_SECONDS + 1)
        self._inlet.close_stream()

    def measure_offset(self) -> None:
        """Take the offset of the sender's clock, if it can be had: half a second the first time,
        nothing later. What it was before stays when it cannot."""
        with suppress(TimeoutError, self._lost_error):
            self.offset_seconds = float(self._inlet.time_correction(_OFFSET_SECONDS))

    def _now_ns(self) -> int:
        return round(self._clock() * 1e9)

    def _receive(self) -> None:
        pull, clock = self._inlet.pull_sample, self._clock
        try:
            while not self._stop.is_set():
                sample, stamp = pull(_PULL_SECONDS)
                if sample is None:
                    continue
                received_ns = round(clock() * 1e9)
                self.arrivals.packet(received_ns, self._sample_bytes)
                self._look_at(sample, stamp)
                # Last: whoever counts these finds the rest in place.
                self._stamps.append(stamp)
        except self._lost_error:
            self.ended = True
        finally:
            self.arrivals.ended_ns = self._now_ns()

    def _look_at(self, sample: list[Any], stamp: float) -> None:
        if self.kind == NEURAL:
            self.negative_counts += min(sample) < 0 or any(value % 1 for value in sample)
        elif isinstance(sample[0], str) and len(self.markers) < _MARKERS_KEPT:
            self.markers.append((stamp, sample[0]))


def find_streams(pylsl: Any, prefix: str, code: str, timeout_seconds: float) -> dict[str, Stream]:
    """Look for the outlets of a session, until all are found or the time is over.

    Args:
        pylsl: see `load_pylsl`.
        prefix: of the source ids.
        code: of the session.
        timeout_seconds: how long to look.

    Returns:
        By kind, in the order of the contract; empty when there was none.

    Raises:
        CannotWatchLslError: one was found and does not answer.
    """
    wanted = {source_id(prefix, kind, code): kind for kind in OUTLETS}
    # In parentheses: liblsl puts "session_id='...' and" before it.
    predicate = " or ".join(f"source_id='{each}'" for each in wanted)
    resolver = pylsl.ContinuousResolver(pred=f"({predicate})")
    until = time.monotonic() + timeout_seconds
    found: dict[str, Any] = {}
    # Asked again and again instead of waiting inside liblsl, where Ctrl-C would wait too.
    while len(found) < len(wanted):
        for info in resolver.results():
            found.setdefault(wanted[info.source_id()], info)
        if time.monotonic() >= until:
            break
        time.sleep(_LOOK_SECONDS)
    return {kind: Stream(pylsl, kind, found[kind]) for kind in OUTLETS if kind in found}


@contextmanager
def receiving(pylsl: Any, streams: Sequence[Stream], connecting_ns: int) -> Iterator[None]:
    """Receive from all streams while in the block."""
    started = []
    try:
        for stream in streams:
            stream.start(connecting_ns)
            started.append(stream)
        yield
    finally:
        for stream in started:
            stream.stop()


def now_ns(pylsl: Any) -> int:
    """This machine's LSL clock."""
    seconds: float = pylsl.local_clock()
    return round(seconds * 1e9)
