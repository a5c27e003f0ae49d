"""What the scores of a session refuse."""

from __future__ import annotations

from phantomlink.errors import PhantomLinkError


class DecoderNameError(PhantomLinkError):
    """A name on the scoreboard cannot be given to a decoder."""

    http_status = 409
    title = "Decoder name in use"


class BlindSessionError(PhantomLinkError):
    """The scores of a blind session are asked for before it was stopped."""

    http_status = 409
    title = "Blind session"
