"""Where a server is, and how to name it: addresses and the token. Pure but for the environment."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

DEFAULT_URL = "http://127.0.0.1:8000"
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
_STREAM = "/stream/"
_TAKES = "takes http://host:port, or ws://host:port/stream/code for one session's stream"


@dataclass(frozen=True, slots=True)
class Address:
    """A server, and the stream on it where the URL names one.

    Attributes:
        http_url: of the server, for REST; no slash at its end.
        code: of the session that the URL names; None where it names none.
        query: of the stream's URL, by name.
        token: of the server; None where it has none.
        is_local: whether the server is on this machine: no proxy leads there.
    """

    http_url: str
    code: str | None
    query: Mapping[str, str]
    token: str | None = field(repr=False)
    is_local: bool

    @property
    def headers(self) -> dict[str, str]:
        """What every request says beside what it asks."""
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    def stream_url(self, code: str, query: Mapping[str, str]) -> str:
        """The WebSocket of a session."""
        url = f"{self.http_url.replace('http', 'ws', 1)}{_STREAM}{code}"
        return f"{url}?{urlencode(query)}" if query else url


def parse_address(url: str | None, token: str | None = None) -> Address:
    """Make an address of what a person typed.

    Args:
        url: of the server or of a stream; None for the environment's PHANTOM_URL, or else
            http://127.0.0.1:8000.
        token: of the server; None for the environment's PHANTOM_API_TOKEN.

    Raises:
        ValueError: the URL is none of these.
    """
    text = (url if url is not None else os.environ.get("PHANTOM_URL") or DEFAULT_URL).strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"url: got {text!r} ({error}), {_TAKES}") from error
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not host:
        raise ValueError(f"url: got {text!r}, {_TAKES}")
    before, stream, rest = parts.path.partition(_STREAM)
    code = check_code(rest.removeprefix("binary/")) if stream else None
    return Address(
        http_url=f"{scheme.replace('ws', 'http')}://{parts.netloc}{before.rstrip('/')}",
        code=code,
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        token=token or os.environ.get("PHANTOM_API_TOKEN") or None,
        is_local=_is_loopback(host),
    )


def check_code(code: str) -> str:
    """The code of a session, if it can be one.

    Raises:
        ValueError: it cannot.
    """
    if not _CODE.match(code):
        raise ValueError(f"session: got {code!r}, takes 1 to 64 letters, digits, - or _")
    return code


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
