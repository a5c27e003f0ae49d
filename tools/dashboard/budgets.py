"""Measures the dashboard's budgets in an installed Chromium, without an accelerator.

    python -m tools.dashboard.budgets [--seconds 60] [--warm 3] [--units 142] [--bin-ms 25]

One session in a server of its own, one page that shows it: first paint, time until the state is
known and, of a page that opens while it plays, until it is live; frames a second, share of a core
that the main thread takes, its longest task; how long a frame is drawn, of all frames and of those
that no slow time of the host touched (where probes may watch it); from a packet's stamp to the
pixel (p50 and p99 of ten seconds each: the median of them, the least and the most); and memory at
the begin and at the end: heap of the page and of its worker, arrays included, and what the renderer
has beyond one that shows an empty page.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from phantomlink.recordings.synthetic import synthesize
from tests.servers import live_server
from tools.bench.harness.host import Lost, watched_host
from tools.dashboard.browser import chromium
from tools.dashboard.drawn_frames import DrawnFrames

_WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
}).observe({ type: "longtask", buffered: true });
"""
# The page keeps 10 s of frames.
_READ_SECONDS = 5
_TIMEOUT_MS = 120_000
_HEAP = "performance.memory.usedJSHeapSize / 1e6"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=3.0, help="seconds before, 60 fill the ring")
    parser.add_argument("--units", type=int, default=142)
    parser.add_argument("--bin-ms", type=float, default=25.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "reaches.nwb"
        synthesize(recording, units=options.units, trials=60)
        with live_server(recording) as server, chromium() as browser, watched_host() as host:
            server.create("budget", bin_size_ms=options.bin_ms)
            context = browser.new_context(viewport={"width": 1440, "height": 1000})
            context.set_default_timeout(_TIMEOUT_MS)
            context.add_init_script(_WATCH)
            empty = _renderers_mb(browser, lambda: context.new_page().goto("about:blank"))
            page = context.new_page()
            devtools = context.new_cdp_session(page)
            devtools.send("Performance.enable")
            opened = _seconds_until(page, server.http + "/s/budget", "state.value")
            paint = page.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            )
            page.get_by_role("button", name="Play here").click()
            page.wait_for_function("() => window.phantomlink.isLive.value")
            time.sleep(options.warm)
            page.evaluate("window.longTasks.length = 0")
            worker = Worker(devtools)
            heap, before = _heaps(page, devtools, worker), _metrics(devtools)
            seconds, begin_ns = [], time.monotonic_ns()
            drawn = DrawnFrames(page)
            host.begin()
            while time.monotonic_ns() < begin_ns + options.seconds * 1e9:
                time.sleep(1)
                seconds.append(page.evaluate("window.phantomlink.now.value.figures"))
                if len(seconds) % _READ_SECONDS == 0:
                    drawn.read()
            after = _metrics(devtools)
            drawn.read()
            lost = host.end(begin_ns, time.monotonic_ns())
            longest = page.evaluate("Math.max(0, ...window.longTasks)")
            heap_after = _heaps(page, devtools, worker)
            passed = after["Timestamp"] - before["Timestamp"]
            busy = (after["TaskDuration"] - before["TaskDuration"]) / passed
            frames = sorted(each["fps"] for each in seconds)
            second = context.new_page()
            live = _seconds_until(second, server.http + "/s/budget", "isLive.value")
            second.close()
            print(f"{options.units} units, {options.bin_ms:g} ms, {options.seconds:g} s")
            print(f"first paint {paint:.0f} ms, state known {opened:.2f} s, live {live:.2f} s")
            print(f"frames a second: median {frames[len(frames) // 2]}, least {frames[0]}")
            print(f"main thread {busy * 100:.1f} % of a core, longest task {longest:.0f} ms")
            print_drawn(drawn, lost, host.not_permitted)
            for part in ("p50", "p99"):
                shown = seconds[9::10] or seconds[-1:]
                each = sorted(figures["stamp_to_pixel_ms"][part] for figures in shown)
                middle = each[len(each) // 2]
                print(f"stamp to pixel, ms: {part} {middle:.1f}, {each[0]:.1f} to {each[-1]:.1f}")
            for name, mb in heap.items():
                now = heap_after[name]
                print(f"{name} {mb:.1f} MB, then {now:.1f} MB ({(now / mb - 1) * 100:+.1f} %)")
            print(f"renderer {_renderers_mb(browser) - empty:+.0f} MB beyond an empty page")


def print_drawn(drawn: DrawnFrames, lost: Lost, not_permitted: str | None) -> None:
    """How long a frame is drawn, with and without what the host's slow times touched."""
    every, kept = drawn.figures(lost.stalls or ())
    print(f"draw, ms, all frames: {every}")
    if not_permitted is not None:
        print(f"the host was not watched: {not_permitted}")
        return
    left_out = every.n - kept.n
    print(
        f"draw, ms, without the {left_out} frames ({left_out / every.n * 100:.1f} %) that slow "
        f"times of the host touched ({lost.fraction * 100:.1f} % of the time): {kept}"
    )


def _seconds_until(page: Page, url: str, expression: str) -> float:
    """From the navigation until the live screen's model says so."""
    begin = time.monotonic()
    page.goto(url)
    page.wait_for_function(f"() => window.phantomlink?.{expression}")
    return time.monotonic() - begin


class Worker:
    """The page's worker, by the protocol of the developer tools.

    Args:
        devtools: of the page.
    """

    def __init__(self, devtools: CDPSession) -> None:
        self._devtools = devtools
        self._session = ""
        self._answers: dict[int, Any] = {}
        devtools.on("Target.attachedToTarget", self._attached)
        devtools.on("Target.receivedMessageFromTarget", self._received)
        devtools.send(
            "Target.setAutoAttach",
            {"autoAttach": True, "waitForDebuggerOnStart": False, "flatten": False},
        )

    def _attached(self, event: Any) -> None:
        if event["targetInfo"]["type"] == "worker":
            self._session = event["sessionId"]

    def _received(self, event: Any) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message["result"]

    def ask(self, page: Page, method: str) -> Any:
        """The answer to a method without parameters."""
        number = len(self._answers) + 1
        message = json.dumps({"id": number, "method": method})
        self._devtools.send(
            "Target.sendMessageToTarget", {"sessionId": self._session, "message": message}
        )
        while number not in self._answers:
            # Lets the answer come in.
            page.evaluate("0")
        return self._answers[number]


def _heaps(page: Page, devtools: CDPSession, worker: Worker) -> dict[str, float]:
    """MB that are left when all garbage is gone."""
    devtools.send("HeapProfiler.collectGarbage")
    worker.ask(page, "HeapProfiler.collectGarbage")
    used = worker.ask(page, "Runtime.getHeapUsage")
    return {
        "heap of the page": float(page.evaluate(_HEAP)),
        "heap of the worker": (used["usedSize"] + used.get("backingStorageSize", 0)) / 1e6,
    }


def _renderers_mb(browser: Browser, act: Callable[[], object] = lambda: None) -> float:
    """Memory of the largest renderer once `act` is done, shared pages by their part."""
    act()
    devtools = browser.new_browser_cdp_session()
    processes = devtools.send("SystemInfo.getProcessInfo")["processInfo"]
    devtools.detach()
    sizes = []
    for each in processes:
        if each["type"] == "renderer":
            rollup = Path(f"/proc/{each['id']}/smaps_rollup").read_text(encoding="ascii")
            sizes += [int(line.split()[1]) / 1e3 for line in rollup.splitlines() if "Pss:" in line]
    return max(sizes)


def _metrics(devtools: CDPSession) -> dict[str, float]:
    return {
        each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]
    }


if __name__ == "__main__":
    main()
