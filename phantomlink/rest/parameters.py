"""What a request says: members of its JSON body, its query, and how it called the server."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeVar

from phantomlink.errors import InvalidParameterError

_INTEGER = re.compile(r"-?[0-9]{1,100}\Z", re.ASCII)
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,4})?\Z", re.ASCII)
# Ours or a name of any kind; what has other characters cannot be the host of a URL.
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]{1,260}\Z", re.ASCII)
_SHOWN = 80

_T = TypeVar("_T", bool, str, int, float)


class HeaderLookup(Protocol):
    """Headers of a request; names in any case."""

    def get(self, name: str, /) -> str | None:
        """The value; None where there is none."""
        ...


class UnsupportedBodyError(InvalidParameterError):
    """A body that does not claim to be JSON."""

    http_status = 415
    title = "Unsupported media type"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Members of the body and of the query, by name. A body's `null` is a member not given.

    Attributes:
        body: as parsed from JSON.
        query: every value of a name, as texts.
    """

    body: Mapping[str, Any]
    query: Mapping[str, list[str]]

    def text(self, name: str) -> str | None:
        """A text; None when it was not given.

        Raises:
            InvalidParameterError: it is no text, or the body and the query differ.
        """
        member = self.body.get(name)
        if member is not None and not isinstance(member, str):
            _refuse(name, member, "a text")
        return self._same(name, member, self._one(name))

    def integer(self, name: str) -> int | None:
        """A whole number; None when it was not given.

        Raises:
            InvalidParameterError: it is none, or the body and the query differ.
        """
        member = self.body.get(name)
        # To Python true is a number, and 1.0 is 1; to those who write JSON neither is an index.
        if member is not None and (isinstance(member, bool) or not isinstance(member, int)):
            _refuse(name, member, "a whole number")
        raw = self._one(name)
        return self._same(name, member, None if raw is None else parse_integer(name, raw))

    def number(self, name: str) -> float | None:
        """A number; None when it was not given.

        Raises:
            InvalidParameterError: it is none, or the body and the query differ.
        """
        member = self.body.get(name)
        if member is not None:
            if isinstance(member, bool) or not isinstance(member, int | float):
                _refuse(name, member, "a number")
            try:
                member = float(member)
            except OverflowError:
                _refuse(name, member, "a number that a double can hold")
        raw = self._one(name)
        if raw is not None and not _NUMBER.match(raw):
            _refuse(name, raw, "a number")
        return self._same(name, member, None if raw is None else float(raw))

    def flag(self, name: str) -> bool | None:
        """True or false; None when it was not given.

        Raises:
            InvalidParameterError: it is neither, or the body and the query differ.
        """
        member = self.body.get(name)
        if member is not None and not isinstance(member, bool):
            _refuse(name, member, "true or false")
        raw = self._one(name)
        if raw is not None and raw not in {"true", "false"}:
            _refuse(name, raw, "true or false")
        queried = None if raw is None else raw == "true"
        return self._same(name, member, queried)

    def value(self, name: str) -> object:
        """Whatever the body says, or the text of the query; None when it was not given.

        Raises:
            InvalidParameterError: the body and the query differ.
        """
        return self._same(name, self.body.get(name), self._one(name))

    def _one(self, name: str) -> str | None:
        values = self.query.get(name, [])
        if len(values) > 1:
            raise InvalidParameterError(f"{name}: got it {len(values)} times, takes one value")
        return values[0] if values else None

    @staticmethod
    def _same(name: str, member: _T | None, queried: _T | None) -> _T | None:
        if member is None or queried is None or member == queried:
            return queried if member is None else member
        raise InvalidParameterError(
            f"{name}: got {_shown(member)} in the body and {_shown(queried)} in the query, "
            "takes one of them"
        )


def parse_integer(name: str, raw: str) -> int:
    """A whole number of a path or a query.

    Raises:
        InvalidParameterError: it is none.
    """
    if not _INTEGER.match(raw):
        _refuse(name, raw, "a whole number")
    return int(raw)


def parse_body(data: bytes, mimetype: str) -> dict[str, Any]:
    """The members of a JSON body; an empty body has none.

    Args:
        data: the body.
        mimetype: what it claims to be, without parameters; "" where it claims nothing.

    Raises:
        UnsupportedBodyError: it claims not to be JSON.
        InvalidParameterError: it is not a JSON object.
    """
    if not data.strip():
        return {}
    if mimetype and mimetype != "application/json" and not mimetype.endswith("+json"):
        raise UnsupportedBodyError(f"content type: got {mimetype!r}, takes application/json")
    try:
        body = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise InvalidParameterError("body: nested too deeply, takes a JSON object") from None
    except ValueError as error:
        raise InvalidParameterError(f"body: not JSON ({error}), takes a JSON object") from None
    if not isinstance(body, dict):
        _refuse("body", body, "a JSON object")
    return body


def client_base_url(
    headers: HeaderLookup,
    scheme: str,
    server: Sequence[str | int | None],
    *,
    trust_proxy: bool,
) -> str:
    """How the client called the server, as the beginning of a WebSocket URL.

    Args:
        headers: of its request.
        scheme: of the connection.
        server: address and port of it, for a request that names no host.
        trust_proxy: whether to believe what a proxy says about the client's own request.
    """
    host = headers.get("Host") or ""
    if trust_proxy:
        scheme = _first(headers.get("X-Forwarded-Proto")) or scheme
        host = _first(headers.get("X-Forwarded-Host")) or host
    if not _HOST.match(host):
        host = ":".join(str(part) for part in server[:2] if part is not None)
    return f"{'wss' if scheme.lower() in {'https', 'wss'} else 'ws'}://{host}"


def _first(value: str | None) -> str:
    """Of a list that each proxy on the way has added to, what the outermost one said."""
    return value.split(",")[0].strip() if value else ""


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return repr(text) if isinstance(value, str) else text


def _refuse(name: str, value: Any, takes: str) -> NoReturn:
    raise InvalidParameterError(f"{name}: got {_shown(value)}, takes {takes}")
