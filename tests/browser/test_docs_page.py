"""The page of the API: what axe finds in it is what its library's markup causes, and no more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.browser.pages import Visit
from tests.servers import LiveServer

# Swagger's own markup: buttons in the summaries of its operations, headings that skip a level, and
# parts outside of its landmarks.
OF_THE_LIBRARY = {"nested-interactive", "heading-order", "region"}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_only_what_the_library_causes(
    visit: Callable[..., Visit], server: LiveServer, theme: str
) -> None:
    page = visit(server, "/docs", theme=theme)
    page.page.get_by_text("/api/sessions/create").first.wait_for()
    assert {rule for rule, *_ in page.axe()} <= OF_THE_LIBRARY
