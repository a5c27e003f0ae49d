"""What can go wrong between a program and a server, each error with what to do about it."""

from __future__ import annotations


class ClientError(Exception):
    """The root of the client's errors.

    Attributes:
        may_pass: whether the same attempt may succeed later.
        retry_after_seconds: how long the server asked to wait; None where it did not say.
    """

    may_pass = False

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class UnreachableError(ClientError):
    """No server answers, or the connection broke before it was of use."""

    may_pass = True


class RefusedError(ClientError):
    """The server answered, and the answer is no.

    Attributes:
        status: of HTTP.
        detail: what the server says came, and what it takes.
    """

    def __init__(
        self, message: str, status: int, detail: str, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.status = status
        self.detail = detail
        self.may_pass = status in {429, 502, 503, 504}


class StreamClosedError(ClientError):
    """The connection of a stream ended.

    Attributes:
        code: WebSocket close code; 1006 where the connection broke without one.
        reason: what the server said.
        new_url: where the stream is now, for code 4412; None otherwise.
    """

    def __init__(self, message: str, code: int, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.may_pass = code not in {1000, 1008}
        self.new_url = reason if code == 4412 and reason else None


class StreamChangedError(ClientError):
    """After a reconnection the stream is of another recording: what was fitted does not apply."""


class MessageError(ClientError):
    """A message of the server cannot be read: it is no PhantomLink server, or a newer one."""
