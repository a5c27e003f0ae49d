"""When to connect again, and when not to: the rules of close codes and statuses.

Pure, but for the dice: thirty clients of a server that restarts must not come back all at once.
"""

from __future__ import annotations

import json
import random
import re
import ssl

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from phantomlink.client.errors import (
    ClientError,
    RefusedError,
    StreamClosedError,
    UnreachableError,
)

FAILURES = (WebSocketException, OSError, TimeoutError, EOFError, ClientError)
"""What an attempt to connect, or to receive, may raise."""

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.2, 5.0
_LONGEST_ASKED_SECONDS = 60.0
_CLOSED = {
    1000: "the recording ended, or the session was stopped",
    1001: "the server is going away",
    1006: "the connection broke",
    1008: "not allowed",
    1009: "a message that was sent is too big",
    1011: "an error of the server: its log has it",
    1012: "the server restarts",
    1013: "the server asks to try again later",
    4408: "this client read too slowly: receive in a thread or task that does nothing else",
    4410: "the session expired or was deleted",
    4411: "this node may no longer serve the session",
    4412: "the session has moved",
}
_REFUSED = {
    401: "show the server's token: token=..., or PHANTOM_API_TOKEN in the environment",
    403: "the server does not allow it",
    429: "too many requests or connections from this address: wait, then try again",
    503: "the server has no room or is not ready: wait, then try again",
}


def explain(error: BaseException, url: str) -> ClientError:
    """What went wrong, as an error that says what to do.

    Args:
        error: one of `FAILURES`.
        url: of the server.
    """
    if isinstance(error, ClientError):
        return error
    if isinstance(error, ConnectionClosed):
        code, reason = (1006, "") if error.rcvd is None else (error.rcvd.code, error.rcvd.reason)
        meaning = _CLOSED.get(code, "a code that this client does not know")
        said = f": {reason}" if reason else ""
        return StreamClosedError(
            f"the stream was closed with {code} ({meaning}){said}", code, reason
        )
    if isinstance(error, InvalidStatus):
        response = error.response
        asked = response.headers.get("Retry-After")
        return refused(response.status_code, bytes(response.body or b""), asked, url)
    if isinstance(error, WebSocketException | EOFError):
        return UnreachableError(
            f"what answers at {url} is no PhantomLink server ({error}): check host and port"
        )
    why = str(error) or type(error).__name__
    if isinstance(error, ssl.SSLError):
        return UnreachableError(
            f"no secure connection to {url} ({why}): name a server without TLS by http:// or ws://"
        )
    return UnreachableError(
        f"no server answers at {url} ({why}): start one with `phantomlink serve`, or name "
        "another in connect(url) or PHANTOM_URL"
    )


def refused(status: int, body: bytes, retry_after: str | None, url: str) -> RefusedError:
    """A refusal by HTTP, from its RFC 9457 problem where it has one.

    Args:
        status: of HTTP.
        body: of the answer.
        retry_after: header of the answer; None where there is none.
        url: that was asked.
    """
    try:
        problem = json.loads(body)
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    detail = str(problem.get("detail") or problem.get("title") or "")
    advice = _REFUSED.get(status, "") if not detail or status == 401 else ""
    said = "; ".join(filter(None, (detail, advice))) or "no reason was given"
    # It may be a date, which this server never says.
    wait = float(retry_after) if retry_after and re.fullmatch("[0-9]{1,6}", retry_after) else None
    return RefusedError(f"{url} answered {status}: {said}", status, detail, wait)


class Retry:
    """How long to wait before the next attempt.

    Args:
        patience_seconds: after the connection was lost, when to give up; None for never.
    """

    def __init__(self, patience_seconds: float | None) -> None:
        self._patience_seconds = patience_seconds
        self._lost_at: float | None = None
        self._n_failed = 0

    def succeeded(self) -> None:
        """A stream is connected: the next loss is a new one."""
        self._lost_at = None
        self._n_failed = 0

    def seconds_after(self, error: ClientError, now: float) -> float:
        """How long to wait before the next attempt.

        Args:
            error: that ended the last one.
            now: seconds of a monotonic clock.

        Raises:
            ClientError: the same one: trying again is of no use, or has gone on for too long.
        """
        if not error.may_pass:
            raise error
        self._lost_at = now if self._lost_at is None else self._lost_at
        wait = min(_FIRST_WAIT_SECONDS * 2.0**self._n_failed, _LONGEST_WAIT_SECONDS)
        wait *= random.uniform(0.5, 1.0)
        self._n_failed += 1
        if error.retry_after_seconds is not None:
            wait = max(wait, min(error.retry_after_seconds, _LONGEST_ASKED_SECONDS))
        patience = self._patience_seconds
        if patience is not None and now + wait - self._lost_at > patience:
            raise error
        return wait
