"""A request as every server hands it to the dispatch, and what handlers ask of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from phantomlink.access.access_policy import AccessPolicy
from phantomlink.access.request_identity import RequestIdentity, read_request_identity
from phantomlink.engine.session import Session
from phantomlink.service.service import Service

ReadBody = Callable[[], Awaitable[bytes]]
"""Reads the whole body. Raises BodyTooLargeError or BodyTimeoutError."""

# Ours or a name of any kind; what has other characters cannot be the host of a URL.
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]{1,260}\Z", re.ASCII)


class ViewGate(Protocol):
    """Who may watch sessions."""

    def enter(self, path: str, query: str) -> object:
        """Let a viewer in; raises the PhantomLinkError why it may not come in."""
        ...


class RunningServer(Protocol):
    """What requests are answered from."""

    def get_service(self) -> Service:
        """The running service; raises UnavailableError before the start."""
        ...

    def get_access_policy(self) -> AccessPolicy:
        """What lets requests in."""
        ...

    def get_views(self) -> ViewGate:
        """Who may watch sessions; raises UnavailableError before the start."""
        ...


@dataclass(frozen=True, slots=True)
class RequestHead:
    """First line and headers of a request, and where it came from.

    Attributes:
        method: in upper case.
        path: as sent, still percent-encoded.
        query: as sent, without the question mark.
        headers: names in lower case, and values.
        peer: host of the other end of the connection; None where there is none.
        scheme: of the connection.
        server: address and port of this end, for a request that names no host.
        is_counted: whether another process has counted it among those of its address.
    """

    method: str
    path: str
    query: str = ""
    headers: Sequence[tuple[bytes, bytes]] = ()
    peer: str | None = None
    scheme: str = "http"
    server: Sequence[str | int | None] = ()
    is_counted: bool = False

    def get(self, name: str) -> str | None:
        """The value of a header, the first one of that name; None where there is none."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for k, v in self.headers if k == wanted), None)

    def get_all(self, name: str) -> list[str]:
        """Every value of a header."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key == wanted]

    @property
    def content_length(self) -> int:
        """Bytes of the body, as announced; 0 where it is not."""
        announced = self.get("content-length") or ""
        return int(announced) if announced.isdecimal() and announced.isascii() else 0

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks which requests a page may send."""
        asked = self.get("access-control-request-method")
        return self.method == "OPTIONS" and asked is not None and self.get("origin") is not None

    def identity(self, *, trust_proxy: bool, is_websocket: bool = False) -> RequestIdentity:
        """Whose request it is."""
        return read_request_identity(
            self.method,
            self.path,
            self.headers,
            self.peer,
            query=self.query,
            is_websocket=is_websocket,
            is_counted=self.is_counted,
            trust_proxy=trust_proxy,
        )

    def base_url(self, *, trust_proxy: bool, server: Sequence[str | int | None] = ()) -> str:
        """How the client called the server, as the beginning of a WebSocket URL.

        Args:
            trust_proxy: whether to believe what a proxy says about the client's own request.
            server: address and port for a request that names no host, where the head has none.
        """
        scheme, host = self.scheme, self.get("Host") or ""
        if trust_proxy:
            scheme = _first(self.get("X-Forwarded-Proto")) or scheme
            host = _first(self.get("X-Forwarded-Host")) or host
        if not _HOST.match(host):
            host = ":".join(str(part) for part in (self.server or server)[:2] if part is not None)
        return f"{'wss' if scheme.lower() in {'https', 'wss'} else 'ws'}://{host}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request on its way to a handler.

    Attributes:
        head: first line and headers.
        server: what it is answered from.
    """

    head: RequestHead
    server: RunningServer

    @property
    def service(self) -> Service:
        """The running service.

        Raises:
            UnavailableError: it has not started.
        """
        return self.server.get_service()

    @property
    def base_url(self) -> str:
        """How the client called the server, as the beginning of a WebSocket URL."""
        settings = self.service.settings
        return self.head.base_url(
            trust_proxy=settings.trust_proxy, server=(settings.host, settings.port)
        )

    @property
    def stream_base_url(self) -> str:
        """What URLs of streams begin with: this node where there are others, else as called."""
        return stream_base_url(self.service.settings.node_url) or self.base_url

    def session(self, code: str) -> Session:
        """The session of this code.

        Raises:
            SessionNotFoundError: there is none.
            InvalidParameterError: it is no code.
        """
        return self.service.registry.get(code)


def stream_base_url(node_url: str | None) -> str | None:
    """What URLs of a node's streams begin with; None where it is the only one."""
    return None if node_url is None else node_url.replace("http", "ws", 1)


def _first(value: str | None) -> str:
    """Of a list that each proxy on the way has added to, what the outermost one said."""
    return value.split(",")[0].strip() if value else ""
