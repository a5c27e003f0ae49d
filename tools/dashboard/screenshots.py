"""Photographs every screen of the dashboard, light and dark, wide and as a phone.

    pip install 'phantomlink[test]'
    python -m tools.dashboard.screenshots [--out docs/images]

It starts a server of its own with the default recording, plays a session for a few seconds and
perturbs it. Takes about a minute. Without `--all` it writes the pictures of the readme alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page

from phantomlink.recordings.synthetic import synthesize
from tests.servers import LiveServer, live_server
from tools.dashboard.browser import chromium

WIDE, PHONE = (1440, 1080), (390, 844)
README = ("dark", "light")
FITTED_TRIALS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", action="store_true", help="every screen, also as a phone")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "reaches.nwb"
        synthesize(recording, trials=60)
        env = {"PHANTOM_MODELS_DIR": str(Path(folder) / "models")}
        with live_server(recording, env=env) as server, chromium() as browser:
            for code in ("swift-neural-42", "bench", "tutorial"):
                server.create(code)
            put_decoder(server, "swift-neural-42")
            for theme in README:
                shoot_live(browser, server, theme, WIDE, options.out / f"dashboard-{theme}.png")
            if options.all:
                for theme in README:
                    shoot_all(browser, server, theme, options.out)


def put_decoder(server: LiveServer, code: str) -> None:
    """Let a built-in decoder play along."""
    asked = {"decoder": "kalman", "trials": list(range(FITTED_TRIALS))}
    status, made = server.post(f"/api/sessions/{code}/calibrate", asked)
    assert status == 202, made
    while server.get(f"/api/models/{made['model_id']}")[1]["state"] == "fitting":
        time.sleep(0.2)
    body = {"model": made["model_id"]}
    status, answer = server.request("PUT", f"/api/sessions/{code}/decoders/kalman", body)
    assert status == 200, answer


def shoot_live(
    browser: Browser, server: LiveServer, theme: str, size: tuple[int, int], path: Path
) -> None:
    """One session, with half a minute behind it, the end of it perturbed."""
    page = opened(browser, server.http, "/s/swift-neural-42", theme, size)
    page.get_by_role("button", name="Play here").click()
    # Where the decoder was not fitted, so that it is scored.
    server.post("/api/control/swift-neural-42/seek", {"trial_id": FITTED_TRIALS + 1})
    time.sleep(8)
    perturbation = {"perturbation": "moderate"}
    server.request("PUT", "/api/sessions/swift-neural-42/perturbation", perturbation)
    page.keyboard.press("j")
    time.sleep(7)
    page.evaluate("scrollTo(0, 0)")
    page.screenshot(path=path, full_page=size == PHONE)
    server.request("PUT", "/api/sessions/swift-neural-42/perturbation", {"perturbation": None})
    page.context.close()


def shoot_all(browser: Browser, server: LiveServer, theme: str, out: Path) -> None:
    """Every screen, wide and as a phone."""
    for name, size in (("wide", WIDE), ("phone", PHONE)):
        shoot_live(browser, server, theme, size, out / f"live-{theme}-{name}.png")
        for screen in ("", "timing", "decoders", "datasets"):
            page = opened(browser, server.http, f"/{screen}", theme, size)
            time.sleep(2.5)
            page.screenshot(path=out / f"{screen or 'sessions'}-{theme}-{name}.png", full_page=True)
            page.context.close()


def opened(browser: Browser, base: str, path: str, theme: str, size: tuple[int, int]) -> Page:
    """A page that has shown its heading."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(base + path)
    page.get_by_role("heading", level=1).wait_for()
    time.sleep(1)
    return page


if __name__ == "__main__":
    main()
