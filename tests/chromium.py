"""An installed Chromium, headless, for the tests of the dashboard."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# No accelerator, and nothing that asks hosts of the network by itself.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str:
    """Where it is.

    Where CI is set (see conftest.py) a missing one fails the tests; elsewhere they are skipped,
    and say so.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    reason = "no Chromium is installed (Debian: apt-get install chromium)"
    if os.environ.get("TESTS_ON_CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running one."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()
