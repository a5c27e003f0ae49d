"""What a WebSocket client sends, handed to its session's scoreboard by both entries."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from phantomlink.engine.fanout import Sink
from phantomlink.engine.session import Session
from phantomlink.outputs.decoders.kind import scores_of
from phantomlink.outputs.websocket.admission import Admission
from phantomlink.wire.encoder import encode_message

if TYPE_CHECKING:
    from phantomlink.outputs.decoders.client_input import ClientInput


@contextmanager
def client_messages(
    session: Session,
    admission: Admission,
    client_id: int,
    send_nowait: Callable[[bytes | str], None],
    end: Callable[[int, str], None],
) -> Iterator[ClientInput | None]:
    """Where what a client sends goes, for as long as it is connected; None where nobody wants it.

    Args:
        session: that it listens to.
        admission: what was decided about its request.
        client_id: number of the connection.
        send_nowait: sends it a message.
        end: closes its connection, with a code and a reason.
    """
    scores = scores_of(session)
    if scores is None:
        from phantomlink.outputs.decoders.elsewhere import elsewhere_of  # noqa: PLC0415 - rare

        elsewhere = elsewhere_of(session)
        yield (
            None
            if elsewhere is None
            else elsewhere.client(client_id, admission.filter, admission.peer, end)
        )
        return

    def tell(message: dict[str, Any]) -> None:
        send_nowait(encode_message(message, admission.wire_format))

    wanted = tell if admission.scores else None
    with scores.client(client_id, admission.filter, wanted) as client_input:
        yield client_input


def subscribing_sink(session: Session, admission: Admission, sink: Sink) -> Sink:
    """What subscribes for a client: its own sink, or one that has packets decoded before."""
    scores = scores_of(session) if admission.decoded else None
    if scores is None:
        return sink
    from phantomlink.outputs.decoders.decoded import DecodedSink  # noqa: PLC0415 - scores have it

    return DecodedSink(scores.decoded, sink)


def receive_message(client_input: ClientInput | None, message: bytes | str) -> None:
    """A message that came whole out of a WebSocket library, somewhat later than it was read."""
    if client_input is not None:
        is_text = isinstance(message, str)
        payload = message.encode() if isinstance(message, str) else message
        client_input.receive(payload, is_text, time.monotonic_ns())
