"""What a program asks of a stream, checked, and the session made for it where one is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from phantomlink.client.address import Address, check_code, parse_address
from phantomlink.client.errors import ClientError, RefusedError, StreamClosedError
from phantomlink.client.options import SessionOptions, StreamOptions
from phantomlink.client.rest import Rest
from phantomlink.client.session import Session, create_session

_log = logging.getLogger("phantomlink.client")


@dataclass(slots=True)
class StreamRequest:
    """A stream that is to be opened, and opened again.

    Args:
        address: of the server.
        code: of the session; None for one that the server makes up.
        options: how to make the session.
        query: of the stream.
    """

    address: Address
    code: str | None
    options: Mapping[str, Any]
    query: dict[str, str]
    _is_first: bool = field(default=True, init=False)

    @property
    def session_code(self) -> str:
        """The session's code, once `prepare` has been called."""
        assert self.code is not None
        return self.code

    def prepare(self) -> str:
        """The URL to open, once the session is there. Blocks.

        Raises:
            ClientError: the server does not answer, or says no.
        """
        if self.code is None:
            self.code = create_session(Rest(self.address), None, self.options)["session_code"]
        elif self.options and (self._is_first or not self._exists()):
            # Only the first time one that exists and differs is an error (409): since then it may
            # have been changed on purpose, as by `Session.set_speed`.
            create_session(Rest(self.address), self.code, self.options)
        self._is_first = False
        return self.address.stream_url(self.code, self.query)

    def moved(self, error: ClientError) -> None:
        """The stream ended; where the server said so it is to be opened elsewhere."""
        if isinstance(error, StreamClosedError) and error.new_url is not None:
            try:
                self.address = parse_address(error.new_url, self.address.token)
            except ValueError:
                _log.warning("moved to %r, which is no URL: asking here again", error.new_url)

    def _exists(self) -> bool:
        try:
            Rest(self.address).call("GET", f"/api/sessions/{self.code}")
        except RefusedError as error:
            if error.status == 404:
                return False
            raise
        return True


def make_request(
    url: str | None, session: Session | str | None, token: str | None, options: StreamOptions
) -> StreamRequest:
    """Check what a program asks of a stream.

    Raises:
        ValueError: the URL or the code has the wrong form, or they contradict each other.
        TypeError: an option is not known.
    """
    known = [*SessionOptions.__annotations__, *StreamOptions.__annotations__]
    given = {name: value for name, value in options.items() if value is not None}
    if unknown := [name for name in given if name not in known]:
        nearest = get_close_matches(unknown[0], known, n=1) or known
        raise TypeError(f"{unknown[0]}: not known; {', '.join(dict.fromkeys(nearest))}?")
    code: str | None
    if isinstance(session, Session):
        if url is not None:
            raise ValueError(f"url: got {url!r} and {session!r}, which names its own server")
        address, code = session.rest.address, session.code
    else:
        address = parse_address(url, token)
        code = address.code if session is None else check_code(session)
    if address.code not in {None, code}:
        raise ValueError(f"session: got {session!r}, and the URL names {address.code!r}")
    if code is not None and given.get("private"):
        raise ValueError("private: got it with a session's code; a private one is made up")
    of_session = {n: given.pop(n) for n in SessionOptions.__annotations__ if n in given}
    if "hide" in given:
        given["hide"] = ",".join(options["hide"])
    query = {**address.query, **{name: _text(value) for name, value in given.items()}}
    return StreamRequest(address, code, of_session, query)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
