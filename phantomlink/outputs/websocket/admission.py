"""Who may open which stream, in which form: one pure decision, asked by both entries.

`phantomlink serve` asks before it hands a connection to trio-websocket, the Quart route before
it accepts. What is refused is refused with an HTTP status, before the upgrade.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from phantomlink.engine.session_codes import validate_code
from phantomlink.errors import InvalidParameterError, NotFoundError, UnknownNameError
from phantomlink.recordings.trials import Filter
from phantomlink.wire.encoder import PacketForm, WireFormat, packet_form
from phantomlink.wire.packet import HIDEABLE

STREAM_PREFIX = "/stream/"
_BINARY_PREFIX = "/stream/binary/"
_BINARY = (WireFormat.MSGPACK, WireFormat.COMPACT)
_INTEGER = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_FILTERS = ("trial_id", "target_id", "reach_id")
_NAMES = ("format", "scores", "decoded", "hide", "dataset", *_FILTERS)


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a client asked for, from the head of its upgrade request.

    Attributes:
        path: as sent, still percent-encoded.
        query: as sent, without the question mark.
        origin: the `Origin` header; None where there is none.
        user_agent: the `User-Agent` header; "" where there is none.
        subprotocols: those offered, in the client's order.
        peer: address of the other end of the connection; "" where it does not matter.
    """

    path: str
    query: str = ""
    origin: str | None = None
    user_agent: str = ""
    subprotocols: Sequence[str] = ()
    peer: str = ""

    @property
    def is_of_a_browser(self) -> bool:
        """Whether a page sent it: programs may send an origin, but do not claim to be Mozilla."""
        return self.origin is not None and self.user_agent.startswith("Mozilla/")


@dataclass(frozen=True, slots=True)
class Admission:
    """What the client gets.

    Attributes:
        code: of the session; unknown ones are created.
        filter: which trials.
        wire_format: of every message.
        subprotocol: to name in the answer; None when none that was offered is ours.
        scores: whether it wants a message with its decoders' scores after each trial.
        decoded: whether packets say what built-in decoders make of them.
        hide: what is null in all that it is sent, of `HIDEABLE`.
        dataset: that the session plays; None where it does not matter.
        peer: address of the other end of its connection.
    """

    code: str
    filter: Filter
    wire_format: WireFormat
    subprotocol: str | None
    scores: bool = False
    decoded: bool = False
    hide: frozenset[str] = frozenset()
    dataset: str | None = None
    peer: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it wants the unfiltered packets and nothing that decoders say."""
        return self.filter == Filter() and not (self.scores or self.decoded or self.dataset)

    @property
    def form(self) -> PacketForm:
        """The form of packets."""
        return packet_form(self.wire_format, self.hide)


def admit(request: StreamRequest) -> Admission:
    """Decide about one request for a stream.

    Args:
        request: what the client asked for; the access policy has let it pass.

    Raises:
        NotFoundError: the path is not that of a stream.
        InvalidParameterError: the code, a filter or the format has the wrong form.
        UnknownNameError: the query has another name.
    """
    binary = request.path.startswith(_BINARY_PREFIX)
    prefix = _BINARY_PREFIX if binary else STREAM_PREFIX
    if not request.path.startswith(prefix):
        raise NotFoundError(f"no stream at {request.path!r}")
    code = validate_code(unquote(request.path[len(prefix) :], errors="replace"))
    query = parse_qs(request.query, keep_blank_values=True, errors="replace")
    for name in query:
        if name not in _NAMES and not name.startswith("_"):
            raise UnknownNameError(name, _NAMES)
    wanted = Filter(**{name: _one_integer(query, name) for name in _FILTERS})
    scores, decoded = _one_switch(query, "scores"), _one_switch(query, "decoded")
    hide = _hidden(query)
    if hide and wanted != Filter():
        raise InvalidParameterError(
            f"hide: got it with {wanted}, takes no filter: a filter tells what is hidden"
        )
    if decoded and wanted != Filter():
        raise InvalidParameterError(
            f"decoded: got it with {wanted}, takes no filter: built-in decoders decode the "
            "unfiltered stream"
        )
    options = (scores, decoded, hide, _one(query, "dataset"), request.peer)
    asked = _asked_format(query)
    allowed = _BINARY if binary else tuple(WireFormat)
    for subprotocol in request.subprotocols:
        for wire_format in allowed:
            if subprotocol == wire_format.subprotocol:
                return Admission(code, wanted, wire_format, subprotocol, *options)
    if binary:
        form = asked if asked in _BINARY else WireFormat.MSGPACK
        return Admission(code, wanted, form, None, *options)
    # A browser's WebSocket hands a page text unless it asks for more, so that is its default.
    default = WireFormat.JSON if request.is_of_a_browser else WireFormat.MSGPACK
    return Admission(code, wanted, asked or default, None, *options)


def _one(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    if values is None:
        return None
    if len(values) > 1:
        raise InvalidParameterError(f"{name}: got it {len(values)} times, takes one value")
    return values[0]


def _one_integer(query: Mapping[str, list[str]], name: str) -> int | None:
    raw = _one(query, name)
    if raw is None:
        return None
    if not _INTEGER.match(raw):
        raise InvalidParameterError(f"{name}: got {raw[:80]!r}, takes a whole number from 0")
    return int(raw)


def _one_switch(query: Mapping[str, list[str]], name: str) -> bool:
    raw = _one(query, name)
    if raw not in (None, "0", "1"):
        raise InvalidParameterError(f"{name}: got {raw[:80]!r}, takes 1 or 0")
    return raw == "1"


def _hidden(query: Mapping[str, list[str]]) -> frozenset[str]:
    raw = _one(query, "hide")
    if raw is None:
        return frozenset()
    hidden = raw.split(",")
    if not set(hidden) <= set(HIDEABLE):
        raise InvalidParameterError(
            f"hide: got {raw[:80]!r}, takes {', '.join(HIDEABLE)}, separated by commas"
        )
    return frozenset(hidden)


def _asked_format(query: Mapping[str, list[str]]) -> WireFormat | None:
    raw = _one(query, "format")
    if raw is None:
        return None
    try:
        return WireFormat(raw)
    except ValueError:
        takes = ", ".join(wire_format.value for wire_format in WireFormat)
        raise InvalidParameterError(f"format: got {raw[:80]!r}, takes {takes}") from None
