"""The token of the server: whether a request has it. It is never shown, logged or sent back."""

from __future__ import annotations

import hashlib
import hmac

from phantomlink.access.request_identity import RequestIdentity
from phantomlink.errors import NotAuthorizedError

SUBPROTOCOL_PREFIX = b"phantomlink.bearer."
"""Before the token, in the first sub-protocol of a WebSocket: browsers can send no headers."""
OPEN_PATHS = frozenset(
    {"/livez", "/readyz"} | {"/", "/timing", "/datasets", "/decoders", "/docs", "/openapi.json"}
)
"""What machines ask that keep the server running: it says one word, and nothing of sessions. And
pages, which hold no data and ask for a token themselves."""
OPEN_PREFIXES = ("/static/", "/s/", "/docs/")

_TAKES = (
    "takes 'Authorization: Bearer TOKEN', or for a WebSocket the first sub-protocol "
    f"{SUBPROTOCOL_PREFIX.decode()}TOKEN"
)


class TokenCheck:
    """Knows the token.

    Args:
        token: that every request must have.
    """

    def __init__(self, token: str) -> None:
        self._digest = _digest(token.encode())

    def check(self, requester: RequestIdentity) -> None:
        """Let a request pass that has the token, or needs none.

        Raises:
            NotAuthorizedError: it has none, or another.
        """
        if is_open(requester):
            return
        given = _given(requester)
        if given is None:
            raise NotAuthorizedError(f"token: got none, {_TAKES}")
        # Digests, so that the time tells nothing of the length either.
        if not hmac.compare_digest(_digest(given), self._digest):
            raise NotAuthorizedError("token: got one that is not this server's", is_wrong=True)


def is_open(requester: RequestIdentity) -> bool:
    """Whether a request needs no token.

    A browser sends none with the question that it asks before a request (CORS); the answer says
    which origins and methods are allowed and no more.
    """
    if requester.is_preflight:
        return True
    if requester.is_websocket or requester.method not in {"GET", "HEAD"}:
        return False
    return requester.path in OPEN_PATHS or requester.path.startswith(OPEN_PREFIXES)


def _given(requester: RequestIdentity) -> bytes | None:
    """The token of a request, whatever it is; None where it has none."""
    authorizations = requester.authorizations
    if len(authorizations) > 1:
        # Which of them counts, the next one to read them might see in another way.
        raise NotAuthorizedError(
            f"Authorization: got it {len(authorizations)} times, takes one", is_wrong=True
        )
    if authorizations:
        scheme, _, token = authorizations[0].strip().partition(b" ")
        # Without the scheme that came: somebody may have sent the token in its place.
        if scheme.lower() != b"bearer" or not token.strip():
            raise NotAuthorizedError(f"Authorization: got another form, {_TAKES}", is_wrong=True)
        return token.strip()
    subprotocol = requester.first_subprotocol
    if subprotocol is not None and subprotocol.startswith(SUBPROTOCOL_PREFIX):
        return subprotocol.removeprefix(SUBPROTOCOL_PREFIX)
    return None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
