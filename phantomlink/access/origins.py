"""Which pages in a browser may use the server: its own, those of localhost, and those named."""

from __future__ import annotations

from collections.abc import Iterable

from phantomlink.settings.web_names import parse_origin

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
EVERY_ORIGIN = "*"


class OriginRule:
    """Decides which origins are allowed.

    Args:
        others: origins that are allowed beside the server's own and those of localhost; "*" for
            every one.
    """

    def __init__(self, others: Iterable[str] = ()) -> None:
        others = frozenset(others)
        self._allows_every = EVERY_ORIGIN in others
        self._others = frozenset(map(parse_origin, others - {EVERY_ORIGIN}))

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may use a server that it called `host`.

        The origin "null" (sandboxed frames, local files) is nobody's, so it is allowed only
        where every origin is.
        """
        if self._allows_every:
            return True
        parsed = parse_origin(origin)
        if parsed is None:
            return False
        if parsed.host in _LOOPBACK_HOSTS or parsed.host.endswith(".localhost"):
            return True
        if parsed in self._others:
            return True
        # Without a port, the host has that of the page's scheme.
        return parse_origin(f"{parsed.scheme}://{host}") == parsed

    @property
    def takes(self) -> str:
        """What it allows, for messages."""
        also = ", or one of PHANTOM_ALLOWED_ORIGINS" if self._others else ""
        return f"this server's own or one on localhost{also}"
