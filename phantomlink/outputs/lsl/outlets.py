"""LSL outlets by pylsl, and all that is asked of it.

pylsl is imported when LSL is loaded and not before: where it has no liblsl, the import raises.
Loading, making and destroying block, so they belong in worker threads; pushing never blocks in
the default transport (a client that does not read loses samples, in bounded memory).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from phantomlink.errors import LslUnavailableError
from phantomlink.files.shown import TEXT_CHARACTERS, shown
from phantomlink.outputs.lsl.discovery_relay import QUERY_PORT
from phantomlink.outputs.lsl.loopback import keep_to_loopback, ports_of, service_ports_of
from phantomlink.outputs.lsl.scope import configuration, own_configuration
from phantomlink.outputs.lsl.stream_description import IRREGULAR_HZ, Channel, Element, StreamSpec

logger = logging.getLogger(__name__)

# What a client that does not read can miss before it loses samples, and all it can cost.
_BUFFERED_SECONDS = 5
# pylsl counts in hundreds of samples where there is no rate: 500 markers.
_BUFFERED_HUNDREDS = 5
# Closer than this the clocks are the same one.
_SAME_CLOCK_SECONDS = 1e-3

_REMEDY = (
    "install liblsl (https://github.com/sccn/liblsl/releases, or conda's liblsl) and let "
    "PYLSL_LIB be the path of the library"
)


class Outlet(Protocol):
    """One stream.

    Attributes:
        service_ports: of UDP, at which it is asked what it is; empty where nobody needs to know.
    """

    service_ports: frozenset[int]

    def have_consumers(self) -> bool:
        """Whether an inlet is connected to its data."""
        ...

    def push(self, row: NDArray[Any], stamp: float) -> None:
        """Send one sample.

        Args:
            row: (1, channels) in the stream's own format; may be reused at once.
            stamp: its time, s, LSL's clock.
        """
        ...

    def push_text(self, text: str, stamp: float) -> None:
        """Send one sample of a stream of one string channel."""
        ...

    def destroy(self) -> None:
        """Let nobody find it any more, and cut off who is connected. Blocks some 25 ms."""
        ...


class LslLibrary(Protocol):
    """LSL, loaded."""

    @property
    def clock_offset_seconds(self) -> float:
        """What is added to CLOCK_MONOTONIC, s, to have LSL's clock."""
        ...

    @property
    def is_confined(self) -> bool:
        """Whether its streams are kept to this machine, by a configuration of ours."""
        ...

    def make(self, spec: StreamSpec) -> Outlet:
        """An outlet. Blocks a millisecond or so.

        Raises:
            LslUnavailableError: liblsl cannot make it.
        """
        ...


LoadLibrary = Callable[[str], tuple[LslLibrary, str]]
"""Takes the scope; answers LSL, and a line about the configuration in use."""


def load_pylsl(scope: str) -> tuple[LslLibrary, str]:
    """LSL by pylsl, confined to `scope` unless there is a configuration of the user's own.

    Raises:
        LslUnavailableError: there is no liblsl, or an old one that cannot be confined.
    """
    try:
        import pylsl  # noqa: PLC0415
    except (ImportError, RuntimeError, OSError) as error:
        what = " ".join(str(error).split())
        raise LslUnavailableError(f"pylsl cannot load liblsl: {_REMEDY} ({what})") from error
    own = own_configuration(os.environ, Path.home(), Path.cwd())
    if own is not None:
        told = f"configured by {own}"
    else:
        told = f"scope {scope}"
        try:
            pylsl.set_config_content(configuration(scope))
        except (NotImplementedError, AttributeError) as error:
            # pylsl has the function and raises the first where liblsl, before 1.17.7, lacks
            # lsl_set_config_content; an older pylsl has no such function. Who asks for one of the
            # network's scopes gets that liblsl's own, site; only this machine is a promise.
            if scope == "machine":
                raise LslUnavailableError(
                    "this liblsl is too old to be confined to this machine without a file: "
                    "update it, or write a configuration and let LSLAPICFG be its path"
                ) from error
    return _PylslLibrary(pylsl, keep_here=own is None and scope == "machine"), told


class _PylslLibrary:
    def __init__(self, pylsl: Any, *, keep_here: bool) -> None:
        self._pylsl = pylsl
        self.is_confined = keep_here
        self._keep_here = keep_here
        # The first call of all: here liblsl reads its configuration.
        offset = pylsl.local_clock() - time.monotonic()
        self._offset = 0.0 if abs(offset) < _SAME_CLOCK_SECONDS else offset

    @property
    def clock_offset_seconds(self) -> float:
        return self._offset

    def make(self, spec: StreamSpec) -> Outlet:
        pylsl = self._pylsl
        irregular = spec.nominal_rate_hz == IRREGULAR_HZ
        try:
            info = pylsl.StreamInfo(
                spec.name,
                spec.type,
                len(spec.channels),
                pylsl.IRREGULAR_RATE if irregular else spec.nominal_rate_hz,
                spec.channel_format,
                spec.source_id,
            )
            desc = info.desc()
            channels = desc.append_child("channels")
            for channel in spec.channels:
                _append_channel(channels, channel)
            for element in spec.desc:
                append(desc, element)
            buffered = _BUFFERED_HUNDREDS if irregular else _BUFFERED_SECONDS
            outlet = pylsl.StreamOutlet(info, max_buffered=buffered)
        except (RuntimeError, ValueError) as error:
            # The latter for a text that is not Unicode, from the environment or the recording.
            raise LslUnavailableError(f"liblsl cannot make {spec.name}: {error}") from error
        xml = outlet.get_info().as_xml() if self.is_confined else ""
        # The one that all outlets share answers whoever broadcasts.
        if self._keep_here and not keep_to_loopback(ports_of(xml) | {QUERY_PORT}):
            self._keep_here = False
            logger.warning(
                "LSL streams cannot be found from other machines, but this system cannot keep "
                "those from connecting that know the ports: let a firewall do it"
            )
        return _PylslOutlet(outlet, service_ports_of(xml))


class _PylslOutlet:
    def __init__(self, outlet: Any, service_ports: frozenset[int]) -> None:
        self._outlet = outlet
        self.service_ports = service_ports

    def have_consumers(self) -> bool:
        has: bool = self._outlet.have_consumers()
        return has

    def push(self, row: NDArray[Any], stamp: float) -> None:
        self._outlet.push_chunk(row, stamp)

    def push_text(self, text: str, stamp: float) -> None:
        self._outlet.push_sample([text], stamp)

    def destroy(self) -> None:
        # pylsl destroys it with its last reference, which is this one.
        self._outlet = None


def _append_channel(channels: Any, channel: Channel) -> None:
    node = channels.append_child("channel")
    node.append_child_value("label", shown(channel.label))
    if channel.unit is not None:
        node.append_child_value("unit", shown(channel.unit))
    node.append_child_value("type", channel.type)


def append(parent: Any, element: Element) -> None:
    """Add a node and those below it to a description."""
    if isinstance(element.content, str):
        # XML has no way to write most control characters: one makes a stream unreadable.
        parent.append_child_value(element.name, shown(element.content, TEXT_CHARACTERS))
        return
    node = parent.append_child(element.name)
    for child in element.content:
        append(node, child)


def row_for(spec: StreamSpec) -> NDArray[Any]:
    """An empty row (1, channels) in the format of a stream of numbers, to be filled and pushed."""
    dtype = np.int32 if spec.channel_format == "int32" else np.float32
    return np.zeros((1, len(spec.channels)), dtype)
