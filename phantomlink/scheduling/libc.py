"""Functions of the C library that Python does not have."""

from __future__ import annotations

import ctypes
import os


def call(function: str, *arguments: object) -> None:
    """Call one that answers 0, or else leaves the reason in errno.

    Raises:
        AttributeError: this C library does not have it.
        OSError: it failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
