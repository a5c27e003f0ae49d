"""Measures the dashboard's budgets in an installed Chromium, without an accelerator.

    python -m tools.dashboard.budgets [--seconds 60] [--units 142] [--bin-ms 25]

One session in a server of its own, one page that shows it: first paint, time until live, frames
a second, share of a core that the main thread takes, its longest task, how long a frame is drawn,
from a packet's stamp to the pixel, and the JavaScript heap at the begin and at the end.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from playwright.sync_api import CDPSession, Page

from phantomlink.recordings.synthetic import synthesize
from tests.servers import live_server
from tools.dashboard.browser import chromium

_WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
}).observe({ type: "longtask", buffered: true });
"""
_HEAP = "performance.memory.usedJSHeapSize / 1e6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--units", type=int, default=142)
    parser.add_argument("--bin-ms", type=float, default=25.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "reaches.nwb"
        synthesize(recording, units=options.units, trials=60)
        with live_server(recording) as server, chromium() as browser:
            server.create("budget", bin_size_ms=options.bin_ms)
            context = browser.new_context(viewport={"width": 1440, "height": 1000})
            context.add_init_script(_WATCH)
            page = context.new_page()
            devtools = context.new_cdp_session(page)
            devtools.send("Performance.enable")
            begin = time.monotonic()
            page.goto(server.http + "/s/budget")
            page.wait_for_function("() => window.phantomlink?.state.value")
            opened = time.monotonic() - begin
            paint = page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            )
            page.get_by_role("button", name="Play here").click()
            page.wait_for_function("() => window.phantomlink.isLive.value")
            time.sleep(3)
            page.evaluate("window.longTasks.length = 0")
            heap, before = _heap(page, devtools), _metrics(devtools)
            frames = []
            while len(frames) < options.seconds:
                time.sleep(1)
                frames.append(page.evaluate("window.phantomlink.now.value.figures.fps"))
            after = _metrics(devtools)
            figures = page.evaluate("window.phantomlink.now.value.figures")
            passed = after["Timestamp"] - before["Timestamp"]
            busy = (after["TaskDuration"] - before["TaskDuration"]) / passed
            frames.sort()
            print(f"{options.units} units, {options.bin_ms:g} ms, {options.seconds:g} s")
            print(f"first paint {paint:.0f} ms, state known after {opened * 1000:.0f} ms")
            print(f"frames a second: median {frames[len(frames) // 2]}, least {frames[0]}")
            longest = page.evaluate("Math.max(0, ...window.longTasks)")
            print(f"main thread {busy * 100:.1f} % of a core, longest task {longest:.0f} ms")
            print(f"draw ms {figures['draw_ms']}")
            print(f"stamp to pixel ms {figures['stamp_to_pixel_ms']}")
            print(f"heap of the page {heap:.1f} MB, then {_heap(page, devtools):.1f} MB")


def _heap(page: Page, devtools: CDPSession) -> float:
    """MB that are left when all garbage is gone."""
    devtools.send("HeapProfiler.collectGarbage")
    return float(page.evaluate(_HEAP))


def _metrics(devtools: CDPSession) -> dict[str, float]:
    return {
        each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]
    }


if __name__ == "__main__":
    main()
