"""Functions of the C library that Python does not have."""

from __future__ import annotations

import ctypes
import os


def c_library() -> ctypes.CDLL:
    """The C library that this process uses.

    Raises:
        OSError: it cannot be asked for here (Windows).
    """
    try:
        return ctypes.CDLL(None, use_errno=True)
    except TypeError:
        raise OSError("this system has no C library that can be asked") from None


def call(function: str, *arguments: object) -> None:
    """Call one that answers 0, or else leaves the reason in errno.

    Raises:
        AttributeError: this C library does not have it.
        OSError: it failed.
    """
    if getattr(c_library(), function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
