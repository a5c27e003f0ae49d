"""The kinds of output that a server has: a new one is one line here."""

from __future__ import annotations

from phantomlink.engine.output import OutputKind
from phantomlink.engine.session import Session
from phantomlink.files.slots import Slots
from phantomlink.outputs.decoders.kind import DecoderOutputs
from phantomlink.outputs.lsl.kind import LslOutputs
from phantomlink.settings import Settings


def output_kinds(settings: Settings, lsl: Slots | None = None) -> tuple[OutputKind[Session], ...]:
    """Those of a server with these settings. WebSocket clients need none: they come by request.

    Args:
        settings: of the server.
        lsl: slots of sessions with outlets; None for those of one process.
    """
    kinds: tuple[OutputKind[Session], ...] = (LslOutputs(settings, slots=lsl), DecoderOutputs())
    if settings.brand_url is not None:
        from phantomlink.outputs.redis.kind import BrandOutputs  # noqa: PLC0415

        kinds = (*kinds, BrandOutputs(settings))
    return kinds
