"""Tickets for downloads: a link in a page can show no token, and its address must not have it.

A ticket opens one path once, for a minute. It is signed with the token, so that every process which
has the same token takes it; that it was used is known to the process that was asked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from urllib.parse import unquote

from phantomlink.access.request_identity import RequestIdentity
from phantomlink.errors import NotAuthorizedError

TICKET_SECONDS = 60
_NAME = "_ticket="
_NONCE_BYTES = 9


class Tickets:
    """Issues tickets and takes them.

    Args:
        token: of the server.
        unix_seconds: what time it is.
    """

    def __init__(self, token: str, unix_seconds: Callable[[], float] = time.time) -> None:
        self._key = hashlib.sha256(b"phantomlink.tickets." + token.encode()).digest()
        self._unix_seconds = unix_seconds
        # Those that were used and would still be good, with when they end, Unix s.
        self._used: dict[str, int] = {}

    def issue(self, target: str) -> str:
        """The target with a ticket for it.

        Args:
            target: path, and query where there is one, as it will be sent.
        """
        ends_at = int(self._unix_seconds()) + TICKET_SECONDS
        ticket = f"{ends_at}.{secrets.token_urlsafe(_NONCE_BYTES)}"
        joint = "&" if "?" in target else "?"
        return f"{target}{joint}{_NAME}{ticket}.{self._signed(ticket, target)}"

    def is_shown_by(self, requester: RequestIdentity) -> bool:
        """Whether a request shows a ticket, a good one or not."""
        if requester.is_websocket or requester.method != "GET":
            return False
        return requester.query.rpartition("&")[2].startswith(_NAME)

    def take(self, requester: RequestIdentity) -> None:
        """Let a request pass that shows a ticket; it opens nothing again.

        Raises:
            NotAuthorizedError: it is for another path, has been used, or is too old.
        """
        before, _, last = requester.query.rpartition("&")
        ticket, _, signature = last.removeprefix(_NAME).rpartition(".")
        target = f"{requester.path}?{before}" if before else requester.path
        if not hmac.compare_digest(signature.encode(), self._signed(ticket, target).encode()):
            raise NotAuthorizedError(
                "ticket: got one for another path, takes that of POST /api/tickets", is_wrong=True
            )
        now, ends_at = self._unix_seconds(), int(ticket.partition(".")[0])
        self._used = {used: end for used, end in self._used.items() if end > now}
        if ends_at <= now or ticket in self._used:
            raise NotAuthorizedError(
                f"ticket: got one that has been used or is older than {TICKET_SECONDS} s; "
                "ask for another with POST /api/tickets"
            )
        self._used[ticket] = ends_at

    def _signed(self, ticket: str, target: str) -> str:
        # Some servers hand the path on decoded, others as it was sent.
        text = f"{ticket}\n{unquote(target)}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
