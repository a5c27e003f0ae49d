"""Everything that can be wrong and is not our bug, each with what it means to a client.

A message says what came and what is allowed; it is shown to clients as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from phantomlink.close_codes import (
    CLOSE_GOING_AWAY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_NOT_ALLOWED,
    CLOSE_TRY_AGAIN_LATER,
)


class PhantomLinkError(Exception):
    """The root of the tree.

    Attributes:
        http_status: status of the REST answer, and of a refused WebSocket upgrade.
        close_code: WebSocket close code where the upgrade has already been answered.
        title: the `title` of the problem details (RFC 9457).
    """

    http_status = 500
    close_code = CLOSE_INTERNAL_ERROR
    title = "Internal error"


class SettingsError(PhantomLinkError):
    """A setting has the wrong form; the start is refused."""

    title = "Wrong setting"


class RecordingError(PhantomLinkError):
    """The recording cannot be opened or read, or lacks what playing needs.

    Attributes:
        is_final: waiting is of no use: it is not the file that may come back.
    """

    is_final = False

    http_status = 503
    close_code = CLOSE_TRY_AGAIN_LATER
    title = "Recording cannot be read"


class TooManySpikesError(RecordingError):
    """A bin cannot be counted, whatever becomes of the file."""

    is_final = True


class CaptureError(PhantomLinkError):
    """A capture cannot be read, or not be made into what was asked for."""

    title = "Capture cannot be read"


class LslUnavailableError(PhantomLinkError):
    """Lab Streaming Layer cannot be used, or not in the way that it must be."""

    http_status = 503
    title = "LSL not available"


class InvalidParameterError(PhantomLinkError):
    """A body, query or path parameter of the wrong form or outside its range."""

    http_status = 422
    close_code = CLOSE_NOT_ALLOWED
    title = "Invalid parameter"


class BinRangeError(InvalidParameterError):
    """A bin index, or a range of them, leaves the recording."""

    title = "Outside the recording"


class NotFoundError(PhantomLinkError):
    """What was named is not there."""

    http_status = 404
    close_code = CLOSE_NOT_ALLOWED
    title = "Not found"


class SessionNotFoundError(NotFoundError):
    """No session has this code."""

    title = "No such session"


class TrialNotFoundError(NotFoundError):
    """The recording has no such trial, or no trial with such a target."""

    title = "No such trial"


class NoMatchingBinsError(NotFoundError):
    """A filter that matches nothing in this recording."""

    title = "Filter matches nothing"


class SessionDiffersError(PhantomLinkError):
    """The session exists already, and not as it was asked for."""

    http_status = 409
    close_code = CLOSE_NOT_ALLOWED
    title = "Session is another"


class NotPausedError(PhantomLinkError):
    """Only a paused session can be asked for that."""

    http_status = 409
    title = "Session is not paused"


class OriginNotAllowedError(PhantomLinkError):
    """A page of another origin may not open this stream."""

    http_status = 403
    close_code = CLOSE_NOT_ALLOWED
    title = "Origin not allowed"


class HostNotAllowedError(PhantomLinkError):
    """The server was called by a name that is not its own."""

    http_status = 421
    close_code = CLOSE_NOT_ALLOWED
    title = "Host not allowed"


class NotAuthorizedError(PhantomLinkError):
    """A request without the server's token.

    Attributes:
        headers: of the answer: which kind of token it takes (RFC 6750).
    """

    http_status = 401
    close_code = 1008
    title = "Not authorized"

    def __init__(self, message: str, *, is_wrong: bool = False) -> None:
        super().__init__(message)
        challenge = 'Bearer realm="phantomlink"'
        self.headers = (("WWW-Authenticate", challenge + ', error="invalid_token"' * is_wrong),)


class TooManyRequestsError(PhantomLinkError):
    """An address asks more often than it may."""

    http_status = 429
    close_code = 1013
    title = "Too many requests"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooManyClientsError(PhantomLinkError):
    """There is no room for another WebSocket client: in all, of its session or from its address."""

    close_code = 1013
    title = "Too many clients"
    retry_after_seconds = 5

    def __init__(self, message: str, http_status: int) -> None:
        super().__init__(message)
        self.http_status = http_status


class TooManySessionsError(PhantomLinkError):
    """Every session has a listener and there is no room for another."""

    http_status = 503
    close_code = CLOSE_TRY_AGAIN_LATER
    title = "Too many sessions"
    retry_after_seconds = 5


class UnavailableError(PhantomLinkError):
    """The server is starting or going away."""

    http_status = 503
    close_code = CLOSE_GOING_AWAY
    title = "Not available"
    retry_after_seconds = 5


def leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """The errors of a group, and of the groups in it, in their order."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


class BadHeadError(PhantomLinkError):
    """The client's request is not one that can be answered.

    Attributes:
        headers: of the answer, beside the usual ones.
    """

    http_status = 400
    close_code = CLOSE_NOT_ALLOWED
    title = "Bad request"

    def __init__(
        self, message: str, http_status: int = 400, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.headers = headers
