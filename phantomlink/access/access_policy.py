"""What every request passes before anybody reads what it asks: how often, and with which token."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from phantomlink.access.connection_limits import ConnectionLimits
from phantomlink.access.exposure import WARNING, is_exposed
from phantomlink.access.origins import OriginRule
from phantomlink.access.rates import RequestRates
from phantomlink.access.request_identity import RequestIdentity
from phantomlink.access.token import TokenCheck
from phantomlink.errors import TooManyRequestsError
from phantomlink.settings import Settings

logger = logging.getLogger(__name__)


class AccessPolicy:
    """Lets requests in. One for a server: it remembers who came how often.

    Args:
        settings: what the server was told.
        now: monotonic time, s.

    Attributes:
        origins: which pages may use the server.
        connection_limits: the WebSocket clients that there are.
        trusts_proxy: whether addresses are those that a proxy tells.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.monotonic) -> None:
        self.origins = OriginRule(settings.allowed_origins or ())
        self.connection_limits = ConnectionLimits(
            settings.max_clients,
            settings.max_clients_per_session,
            settings.max_clients_per_address,
        )
        self.trusts_proxy = settings.trust_proxy
        self._rates = RequestRates(settings.max_requests_per_second, settings.request_burst, now)
        self._has_warned = False
        self._token = None if settings.api_token is None else TokenCheck(settings.api_token)

    def warn_if_exposed(self, address: str) -> None:
        """Say once that a server which listens there lets in everybody, if that is so."""
        if self._token is None and not self._has_warned and is_exposed(address):
            self._has_warned = True
            logger.warning(WARNING, address)

    def check(self, requester: RequestIdentity) -> None:
        """Let a request pass. Called once for each, and before anything is done for it.

        Raises:
            TooManyRequestsError: its address asks too often; wrong tokens count, too.
            NotAuthorizedError: it has not the token.
        """
        wait_seconds = self._rates.take(requester.address)
        if wait_seconds:
            rates = self._rates
            raise TooManyRequestsError(
                f"requests from {requester.address}: got more than {rates.per_second:g} a second "
                f"after {rates.burst} at once, takes no more (PHANTOM_MAX_REQUESTS_PER_SECOND, "
                "PHANTOM_REQUEST_BURST)",
                max(1, math.ceil(wait_seconds)),
            )
        if self._token is not None:
            self._token.check(requester)
