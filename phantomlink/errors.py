"""Everything that can be wrong and is not our bug, each with what it means to a client.

A message says what came and what is allowed; it is shown to clients as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from phantomlink.close_codes import (
    CLOSE_GOING_AWAY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_NOT_ALLOWED,
    CLOSE_TRY_AGAIN_LATER,
)

_SHOWN = 80


class PhantomLinkError(Exception):
    """The root of the tree.

    Attributes:
        http_status: status of the REST answer, and of a refused WebSocket upgrade.
        close_code: WebSocket close code where the upgrade has already been answered.
        title: the `title` of the problem details (RFC 9457).
        headers: of the answer, beside the usual ones.
        retry_after_seconds: when to try again, where that helps.
    """

    http_status = 500
    close_code = CLOSE_INTERNAL_ERROR
    title = "Internal error"
    headers: tuple[tuple[str, str], ...] = ()
    retry_after_seconds: int | None = None


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
    """A capture cannot be read or written, or not be made into what was asked for."""

    http_status = 503
    title = "Capture cannot be read"


class CaptureConflictError(PhantomLinkError):
    """Something else is being done with the capture, or with what is to be captured."""

    http_status = 409
    title = "Capture in use"


class CaptureRoomError(PhantomLinkError):
    """As many captures run as may."""

    http_status = 503
    title = "Too many captures"


class DiskFullError(PhantomLinkError):
    """There is no room for another capture."""

    http_status = 507
    title = "Disk full"


class LslUnavailableError(PhantomLinkError):
    """Lab Streaming Layer cannot be used, or not in the way that it must be."""

    http_status = 503
    title = "LSL not available"


class InvalidParameterError(PhantomLinkError):
    """A body, query or path parameter of the wrong form or outside its range."""

    http_status = 422
    close_code = CLOSE_NOT_ALLOWED
    title = "Invalid parameter"


class UnknownNameError(InvalidParameterError):
    """A member of a body, or a name of a query, that the route does not know.

    Args:
        name: that came.
        known: those that the route takes.
        within: what the member is of, as the beginning of its path.
    """

    title = "Unknown name"

    def __init__(self, name: str, known: Iterable[str], within: str = "") -> None:
        known = sorted(known)
        shown = name if name.isidentifier() else repr(name)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        near = get_close_matches(name[:_SHOWN], known, n=1)
        takes = f"{near[0]}?" if near else f"takes {', '.join(known) or 'none'}"
        super().__init__(f"{within}{shown}: not known; {takes}")


class UnsupportedBodyError(InvalidParameterError):
    """A body that does not claim to be JSON."""

    http_status = 415
    title = "Unsupported media type"


class BodyTooLargeError(InvalidParameterError):
    """A body of more bytes than a request may have."""

    http_status = 413
    title = "Body too large"

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the body takes at most {max_bytes} bytes (PHANTOM_MAX_BODY_BYTES)")


class BodyTimeoutError(InvalidParameterError):
    """A body that has not come in time."""

    http_status = 408
    title = "Request timeout"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the body takes at most {seconds:g} s to come")


class BinRangeError(InvalidParameterError):
    """A bin index, or a range of them, leaves the recording."""

    title = "Outside the recording"


class NotFoundError(PhantomLinkError):
    """What was named is not there."""

    http_status = 404
    close_code = CLOSE_NOT_ALLOWED
    title = "Not found"


class MethodNotAllowedError(PhantomLinkError):
    """A path that there is, but not with this method.

    Args:
        method: that came.
        path: as it was sent.
        allowed: the methods of that path.
    """

    http_status = 405
    close_code = CLOSE_NOT_ALLOWED
    title = "Method not allowed"

    def __init__(self, method: str, path: str, allowed: Iterable[str]) -> None:
        takes = ", ".join(allowed)
        super().__init__(f"{path!r}: got {method[:20]}, takes {takes}")
        self.headers = (("Allow", takes),)


class UpgradeRequiredError(PhantomLinkError):
    """A stream was asked for without a WebSocket upgrade."""

    http_status = 426
    close_code = CLOSE_NOT_ALLOWED
    title = "Upgrade required"
    headers = (("Upgrade", "websocket"), ("Connection", "Upgrade"))


class SessionElsewhereError(PhantomLinkError):
    """Another process of this server has the session: its front goes on with the request.

    Attributes:
        node: which process.
    """

    http_status = 503
    title = "Session is at another process"
    retry_after_seconds = 1

    def __init__(self, message: str, node: str) -> None:
        super().__init__(message)
        self.node = node


class SessionNotFoundError(NotFoundError):
    """No session has this code."""

    title = "No such session"


class CaptureNotFoundError(NotFoundError):
    """There is no capture of this id."""

    title = "No such capture"


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
    title = "Session exists with other options"


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


class ForbiddenError(PhantomLinkError):
    """What was asked for is not done for just anybody."""

    http_status = 403
    title = "Not allowed"


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


class ThreadLimitError(UnavailableError, OSError):
    """No thread can be started: the process, its user or its container has as many as it may."""

    close_code = CLOSE_TRY_AGAIN_LATER

    def __init__(self) -> None:
        super().__init__("no thread can be started: there are as many as the system allows")


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
