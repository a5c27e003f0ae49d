"""What every request passes before anybody reads what it asks: how often, and with which token."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from phantomlink.access.connection_limits import ConnectionLimits
from phantomlink.access.exposure import WARNING, is_exposed, may_be_exposed
from phantomlink.access.hosts import TAKES, HostRule, allowed_names
from phantomlink.access.origins import OriginRule
from phantomlink.access.pending_connections import PendingConnections
from phantomlink.access.rates import RequestRates
from phantomlink.access.request_identity import RequestIdentity
from phantomlink.access.tickets import Tickets
from phantomlink.access.token import TokenCheck
from phantomlink.errors import (
    BadHeadError,
    ForbiddenError,
    HostNotAllowedError,
    OriginNotAllowedError,
    TooManyRequestsError,
)
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Those that change nothing."""

_SHOWN = 80
_HEAD_TOO_LARGE = 431


class AccessPolicy:
    """Lets requests in. One for a server: it remembers who came how often.

    Args:
        settings: what the server was told.
        now: monotonic time, s.

    Attributes:
        origins: which pages may use the server.
        connection_limits: the WebSocket clients that there are.
        rates: how often each address asks.
        pending_connections: those that have not been let in yet.
        trusts_proxy: whether addresses are those that a proxy tells.
        tickets: for downloads; None where there is no token that they could stand for.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self.origins = OriginRule(settings.allowed_origins or ())
        self.connection_limits = ConnectionLimits(
            settings.max_clients,
            settings.max_clients_per_session,
            settings.max_clients_per_address,
        )
        self.trusts_proxy = settings.trust_proxy
        self.pending_connections = PendingConnections(
            settings.max_pending_connections,
            # Behind a proxy, all of them have its address.
            settings.max_pending_connections
            if settings.trust_proxy
            else settings.max_pending_connections_per_address,
        )
        self._max_head_bytes = settings.max_head_bytes
        self.rates = RequestRates(settings.max_requests_per_second, settings.request_burst, now)
        self._is_exposed = may_be_exposed(settings.host)
        self._has_warned = False
        self._token = None if settings.api_token is None else TokenCheck(settings.api_token)
        self.tickets = None if settings.api_token is None else Tickets(settings.api_token)
        # Whoever has the token is no page of somebody else's.
        self._hosts = None if self._token else HostRule(allowed_names(settings))
        if self._hosts is not None and is_exposed(settings.host):
            self._hosts.learn_full_name()

    def warn_if_exposed(self, address: str) -> None:
        """Say once that a server which listens there lets in everybody, if that is so."""
        if self._hosts is not None and not self._has_warned and is_exposed(address):
            # Under another server it is its options that say where to listen, not our settings.
            self._has_warned = self._is_exposed = True
            self._hosts.learn_full_name()
            logger.warning(WARNING, address)

    def costly_refusal(self, work: str) -> str | None:
        """Why what fills disks or keeps processors busy is not done; None where it is.

        Args:
            work: what is asked for, in the plural.
        """
        if self._token is not None or not self._is_exposed:
            return None
        return (
            f"other machines reach this server, and it has no token: {work} need "
            "PHANTOM_API_TOKEN, or a server that listens on 127.0.0.1 alone"
        )

    def check_costly(self, work: str) -> None:
        """Let a request for such work pass.

        Raises:
            ForbiddenError: whoever reaches the server from another machine could ask for it.
        """
        if (refused := self.costly_refusal(work)) is not None:
            raise ForbiddenError(refused)

    def check(self, requester: RequestIdentity) -> None:
        """Let a request pass. Called once for each, and before anything is done for it.

        Raises:
            TooManyRequestsError: its address asks too often; wrong tokens count, too.
            BadHeadError: its first line and headers are too large.
            HostNotAllowedError: it calls the server by a name that is not the server's.
            NotAuthorizedError: it has neither the token nor a ticket.
            OriginNotAllowedError: a page of a foreign origin wants to change something, or to
                listen; or there are two origins.
        """
        wait_seconds = 0.0 if requester.is_counted else self.rates.take(requester.address)
        if wait_seconds:
            rates = self.rates
            raise TooManyRequestsError(
                f"requests from {requester.address}: got more than {rates.per_second:g} a second "
                f"after {rates.burst} at once, takes no more (PHANTOM_MAX_REQUESTS_PER_SECOND, "
                "PHANTOM_REQUEST_BURST)",
                max(1, math.ceil(wait_seconds)),
            )
        if requester.head_bytes > self._max_head_bytes:
            raise BadHeadError(
                f"first line and headers: got {requester.head_bytes} bytes, takes "
                f"{self._max_head_bytes} (PHANTOM_MAX_HEAD_BYTES)",
                _HEAD_TOO_LARGE,
            )
        if self._hosts is not None:
            _check_hosts(self._hosts, requester.hosts)
        if self.tickets is not None and self.tickets.is_shown_by(requester):
            self.tickets.take(requester)
        elif self._token is not None:
            self._token.check(requester)
        self._check_origin(requester)

    def _check_origin(self, requester: RequestIdentity) -> None:
        """A browser lets any page send a simple POST; only the answer would be kept from it."""
        if not requester.origins:
            return
        if len(requester.origins) > 1:
            raise OriginNotAllowedError(f"origin: got {len(requester.origins)}, takes one")
        if requester.method in SAFE_METHODS and not requester.is_websocket:
            return
        [origin] = requester.origins
        host = requester.hosts[-1] if requester.hosts else ""
        if not self.origins.allows(origin, host):
            raise OriginNotAllowedError(
                f"origin: got {origin[:_SHOWN]!r}, takes {self.origins.takes}"
            )


def _check_hosts(rule: HostRule, hosts: tuple[str, ...]) -> None:
    if not hosts:
        raise HostNotAllowedError(f"host: got none, takes {TAKES}")
    for host in hosts:
        if not rule.allows(host):
            raise HostNotAllowedError(
                f"host: got {host[:_SHOWN]!r}, takes {TAKES}; if the name is yours, allow it with "
                "PHANTOM_ALLOWED_HOSTS or --allowed-hosts"
            )
