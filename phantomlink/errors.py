"""Everything that can be wrong and is not our bug, each with what it means to a client.

A message says what came and what is allowed; it is shown to clients as it is.
"""

from __future__ import annotations


class PhantomLinkError(Exception):
    """The root of the tree.

    Attributes:
        http_status: status of the REST answer, and of a refused WebSocket upgrade.
        close_code: WebSocket close code where the upgrade has already been answered.
        title: the `title` of the problem details (RFC 9457).
    """

    http_status = 500
    close_code = 1011
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
    close_code = 1013
    title = "Recording cannot be read"


class TooManySpikesError(RecordingError):
    """A bin cannot be counted, whatever becomes of the file."""

    is_final = True


class LslUnavailableError(PhantomLinkError):
    """Lab Streaming Layer cannot be used, or not in the way that it must be."""

    http_status = 503
    title = "LSL not available"


class InvalidParameterError(PhantomLinkError):
    """A body, query or path parameter of the wrong form or outside its range."""

    http_status = 422
    close_code = 1008
    title = "Invalid parameter"


class BinRangeError(InvalidParameterError):
    """A bin index, or a range of them, leaves the recording."""

    title = "Outside the recording"


class NotFoundError(PhantomLinkError):
    """What was named is not there."""

    http_status = 404
    close_code = 1008
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
    close_code = 1008
    title = "Session is another"


class OriginNotAllowedError(PhantomLinkError):
    """A page of another origin may not open this stream."""

    http_status = 403
    close_code = 1008
    title = "Origin not allowed"


class TooManySessionsError(PhantomLinkError):
    """Every session has a listener and there is no room for another."""

    http_status = 503
    close_code = 1013
    title = "Too many sessions"
    retry_after_seconds = 5


class UnavailableError(PhantomLinkError):
    """The server is starting or going away."""

    http_status = 503
    close_code = 1001
    title = "Not available"
    retry_after_seconds = 5
