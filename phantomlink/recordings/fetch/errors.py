"""What can go wrong while a dataset is fetched."""

from __future__ import annotations

from phantomlink.errors import PhantomLinkError


class FetchError(PhantomLinkError):
    """The file cannot be had, for a reason that trying again does not change."""

    title = "Cannot be fetched"


class FetchConflictError(FetchError):
    """The file is there already, or is being fetched."""

    http_status = 409


class NoRoomError(FetchError):
    """The disk is too full."""

    http_status = 507


class TransientError(FetchError):
    """The file cannot be had now; trying again may help.

    Attributes:
        wait_seconds: how long the server asked us to wait; None when it did not.
    """

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds
