"""A page of the dashboard in a browser, watched for what it must not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

AXE = Path(__file__).parent / "vendor" / "axe.min.js"
# For everything that must come: a machine with other work takes many times as long.
_WAIT_MS = 90_000
_WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Visit:
    """One page.

    Attributes:
        page: of Playwright.
        errors: what it threw.
        foreign: addresses it asked that are not the server's.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def opened(
        cls,
        browser: Browser,
        base: str,
        path: str,
        *,
        width: int = 1400,
        height: int = 1000,
        theme: str = "dark",
        reduced_motion: str = "no-preference",
        is_clean: bool = True,
    ) -> Iterator[Visit]:
        """Go there; when left, check that the page did nothing that it must not."""
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion=reduced_motion,
            permissions=["clipboard-read", "clipboard-write"],
        )
        try:
            context.set_default_timeout(_WAIT_MS)
            context.add_init_script(_WATCH)
            page = context.new_page()
            visit = cls(page)
            page.on("pageerror", lambda error: visit.errors.append(str(error)))
            page.on("request", lambda request: visit._note(request.url, base))
            page.on("websocket", lambda socket: visit._note(socket.url, base))
            page.goto(base + path)
            yield visit
            if is_clean:
                assert visit.errors == []
                assert visit.foreign == []
                assert page.evaluate("window.violations") == []
        finally:
            context.close()

    def _note(self, url: str, base: str) -> None:
        host = base.partition("://")[2]
        if not url.startswith(("data:", "blob:")) and f"://{host}/" not in url:
            self.foreign.append(url)

    def axe(self) -> list[Any]:
        """What axe-core finds."""
        self.page.evaluate(AXE.read_text())
        return self.page.evaluate(
            "async () => (await axe.run()).violations.map("
            "(v) => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 160)])"
        )

    def model(self, expression: str) -> Any:
        """A fact of the live screen."""
        return self.page.evaluate(f"window.phantomlink.{expression}")

    def until(self, expression: str) -> None:
        """Wait until an expression of the live screen's model holds."""
        self.page.wait_for_function(f"() => window.phantomlink && ({expression})")

    def read(self) -> dict[str, Any]:
        """What the canvases show, by the engine's own account."""
        return self.page.evaluate("window.phantomlink.read()")

    def still(self) -> dict[str, Any]:
        """What the canvases show once all that has come is drawn, and nothing more comes."""
        before = None
        while True:
            after = self.read()
            # NaN is no NaN, and each answer has the number of its question.
            shown = repr(after | {"id": 0})
            if shown == before and after["isDrawn"]:
                return after
            before = shown
            # Two frames of the page: by then it has the worker's last picture.
            self.page.evaluate(
                "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )

    def pixels(self, canvas: str) -> dict[str, Any]:
        """The pixels of a canvas, RGBA: width, height and bytes."""
        return self.page.evaluate(
            """(id) => {
              const from = document.getElementById(id);
              const copy = new OffscreenCanvas(from.width, from.height);
              const pen = copy.getContext("2d");
              pen.drawImage(from, 0, 0);
              const { data, width, height } = pen.getImageData(0, 0, from.width, from.height);
              let text = "";
              for (let i = 0; i < data.length; i += 32768) {
                text += String.fromCharCode(...data.subarray(i, i + 32768));
              }
              return { width, height, base64: btoa(text) };
            }""",
            canvas,
        )
