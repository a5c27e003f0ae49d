"""What to watch: a server, a stream or a code, made into the addresses that are asked. Pure."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from phantomlink.errors import InvalidParameterError, SettingsError
from phantomlink.settings.load import load_settings

_CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z", re.ASCII)
_STREAM = "/stream/"
_FILTERS = ("trial_id", "target_id", "reach_id")
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_LISTENING_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_TAKES = "takes http://host:port, ws://host:port/stream/code or a code (letters, digits, - and _)"


@dataclass(frozen=True, slots=True)
class Target:
    """A stream to watch.

    Attributes:
        url: of the WebSocket.
        code: of the session.
        api_url: of the server, for REST; no slash at its end.
        filter: what the URL asks for, by name: trial_id, target_id, reach_id.
        made_up: whether the session is only for this watching, and may go with it.
        token: of the server; None where it has none.
    """

    url: str
    code: str
    api_url: str
    filter: Mapping[str, int]
    made_up: bool = False
    token: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What every request to the server says beside what it asks."""
        return bearer(self.token)


def bearer(token: str | None) -> dict[str, str]:
    """The header that shows a token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def parse_token(token: str | None, env: Mapping[str, str] | None = None) -> str | None:
    """The token to show: what a person typed, else that of the environment; None for none.

    Args:
        token: as typed.
        env: the environment, for PHANTOM_API_TOKEN and PHANTOM_API_TOKEN_FILE; `os.environ` when
            left out.

    Raises:
        InvalidParameterError: what was typed can be no token.
        SettingsError: what the environment names can be none.
    """
    if token is None:
        return load_settings(env=env).api_token
    try:
        return load_settings({"api_token": token}, {}).api_token
    except SettingsError as error:
        raise InvalidParameterError(str(error).replace("--api-token", "--token")) from None


def parse_target(text: str | None, env: Mapping[str, str] | None = None) -> Target:
    """Make an address of what a person typed.

    Args:
        text: None for a new session of the server that PHANTOM_URL names, or else of the one on
            this machine, `http(s)://host:port` for one there, `ws(s)://host:port/stream/code` with
            or without a query for that stream, or a bare code for a session of the first.
        env: the environment, for PHANTOM_URL, PHANTOM_HOST and PHANTOM_PORT; `os.environ` when
            left out.

    Raises:
        InvalidParameterError: it is none of these.
        SettingsError: PHANTOM_HOST or PHANTOM_PORT has the wrong form.
    """
    named = (os.environ if env is None else env).get("PHANTOM_URL")
    server = named or f"http://{_local_host(env)}"
    text = server if text is None else text.strip()
    if _CODE.match(text):
        text = f"{server.partition(_STREAM)[0].rstrip('/')}{_STREAM}{text}"
    try:
        parts = urlsplit(text)
        hostname, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidParameterError(f"cannot watch {text!r}: {error}; {_TAKES}") from error
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None or not hostname:
        raise InvalidParameterError(f"cannot watch {text!r}: {_TAKES}")
    before, stream, rest = parts.path.partition(_STREAM)
    if stream:
        return _target(scheme, parts.netloc, before, stream + rest, parts.query)
    # Connecting is all it takes: an unknown code creates the session.
    code = f"watch-{secrets.token_hex(3)}"
    path = parts.path.rstrip("/")
    return _target(scheme, parts.netloc, path, f"{_STREAM}{code}", parts.query, made_up=True)


def _target(
    scheme: str, netloc: str, before: str, stream: str, query: str, *, made_up: bool = False
) -> Target:
    code = stream.removeprefix(_STREAM).removeprefix("binary/")
    question = f"?{query}" if query else ""
    return Target(
        url=f"{scheme}://{netloc}{before}{stream}{question}",
        code=code,
        api_url=f"{scheme.replace('ws', 'http')}://{netloc}{before}",
        filter=_filter(query),
        made_up=made_up,
    )


def _filter(query: str) -> dict[str, int]:
    """The filters of a query. What is not a number is left to the server, which says so."""
    values = parse_qs(query)
    return {
        name: int(values[name][0])
        for name in _FILTERS
        if name in values and values[name][0].isdecimal()
    }


def _local_host(env: Mapping[str, str] | None) -> str:
    settings = load_settings(env=env)
    host = _LISTENING_EVERYWHERE.get(settings.host, settings.host)
    return f"[{host}]:{settings.port}" if ":" in host else f"{host}:{settings.port}"
