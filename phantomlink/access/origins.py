"""Which pages in a browser may use the server: its own, those of localhost, and those named."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
EVERY_ORIGIN = "*"


class OriginRule:
    """Knows the origins.

    Args:
        others: origins that are allowed beside the server's own and those of localhost; "*" for
            every one.
    """

    def __init__(self, others: Iterable[str] = ()) -> None:
        others = frozenset(others)
        self._allows_every = EVERY_ORIGIN in others
        self._others = frozenset(map(_parse, others - {EVERY_ORIGIN}))

    def allows(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may use a server that it called `host`.

        The origin "null" (sandboxed frames, local files) is nobody's, so it is allowed only
        where every origin is.
        """
        return self._allows_every or self._allows(origin, host)

    def _allows(self, origin: str, host: str) -> bool:
        parts = _parse(origin)
        if parts is None:
            return False
        scheme, hostname, port = parts
        if hostname in _LOOPBACK_HOSTS or hostname.endswith(".localhost"):
            return True
        if parts in self._others:
            return True
        shown = f"[{hostname}]" if ":" in hostname else hostname
        same = {f"{shown}:{port}"}
        if port == _DEFAULT_PORTS[scheme]:
            same.add(shown)
        return host.lower() in same

    @property
    def takes(self) -> str:
        """What it allows, for messages."""
        also = ", or one of PHANTOM_ALLOWED_ORIGINS" if self._others else ""
        return f"this server's own or one on localhost{also}"


def _parse(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None for what is no origin of a page on the web."""
    try:
        parts = urlsplit(origin)
        hostname = (parts.hostname or "").lower()
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not hostname:
        return None
    return parts.scheme, hostname, port or _DEFAULT_PORTS[parts.scheme]
