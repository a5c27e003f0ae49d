"""The server's REST interface, by the standard library. Blocks."""

from __future__ import annotations

import http
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, BinaryIO
from urllib.parse import urlencode

from phantomlink.client.address import Address
from phantomlink.client.errors import MessageError
from phantomlink.client.retry import explain, refused

_PIECE_BYTES = 1 << 18


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like others: the token goes nowhere but to the server named."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """See `urllib.request.HTTPRedirectHandler`."""


class Rest:
    """Calls of one server.

    Args:
        address: of it.
        timeout_seconds: of a call.
    """

    def __init__(self, address: Address, timeout_seconds: float = 10.0) -> None:
        proxies = [urllib.request.ProxyHandler({})] if address.is_local else []
        self._opener = urllib.request.build_opener(_NoRedirect(), *proxies)
        self._timeout_seconds = timeout_seconds
        self.address = address

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The JSON object that a route answers with.

        Args:
            method: of HTTP.
            path: of the route, with its slash.
            body: sent as JSON; None for no body.
            query: names and values.

        Raises:
            RefusedError: the server says no, and why.
            UnreachableError: no server answers.
            MessageError: the answer is no JSON object.
        """
        with self._open(method, path, body, query) as answer:
            text = self._read(answer)
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise MessageError(f"{path} answered {len(text)} bytes that are no JSON object")
        return value

    def download(self, path: str, out: BinaryIO, query: Mapping[str, Any] | None = None) -> bool:
        """Write what a route answers with to a file; False where that is still being made (202).

        Raises:
            RefusedError: the server says no, and why.
            UnreachableError: no server answers, or it breaks off.
            OSError: the file cannot be written.
        """
        with self._open("GET", path, None, query) as answer:
            if answer.status == http.HTTPStatus.ACCEPTED:
                return False
            while piece := self._read(answer, _PIECE_BYTES):
                out.write(piece)
        return True

    def _read(self, answer: http.client.HTTPResponse, at_most: int | None = None) -> bytes:
        try:
            return answer.read(at_most)
        except (OSError, http.client.HTTPException) as error:
            raise explain(OSError(str(error)), self.address.http_url) from error

    def _open(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        query: Mapping[str, Any] | None,
    ) -> http.client.HTTPResponse:
        url = self.address.http_url + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.address.headers}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            answer: http.client.HTTPResponse = self._opener.open(
                request, timeout=self._timeout_seconds
            )
        except urllib.error.HTTPError as error:
            with error:
                raise refused(error.code, error.read(), error.headers["Retry-After"], url) from None
        except urllib.error.URLError as error:
            reason = error.reason if isinstance(error.reason, OSError) else error
            raise explain(reason, self.address.http_url) from error
        except (OSError, http.client.HTTPException) as error:
            raise explain(OSError(str(error)), self.address.http_url) from error
        return answer
