"""Why a dataset cannot be had."""

from __future__ import annotations

from phantomlink.close_codes import CLOSE_NOT_ALLOWED
from phantomlink.errors import PhantomLinkError, RecordingError, UnavailableError


class DatasetBusyError(UnavailableError):
    """The dataset is being opened, or there is no room for it."""

    title = "Dataset not open"


class DatasetListedError(PhantomLinkError):
    """The dataset is in a catalogue, and its file is not here."""

    http_status = 409
    close_code = CLOSE_NOT_ALLOWED
    title = "Dataset not here"


class DatasetBrokenError(RecordingError):
    """The dataset's file cannot be played."""

    title = "Dataset cannot be played"


class CatalogueFileError(PhantomLinkError):
    """The catalogue of the data directory has the wrong form now."""

    http_status = 409
    title = "Catalogue cannot be read"
