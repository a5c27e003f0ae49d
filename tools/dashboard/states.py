"""Photographs the states of the dashboard that the readme does not show: trouble of every kind.

    python -m tools.dashboard.states [--out states] [--only NAME]

It starts servers of its own (three datasets, one of them broken; with a token; full; with a short
time to live), brings each state about, and photographs it light and dark, wide and as a phone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgpack
from playwright.sync_api import Browser, Page
from websockets.sync.client import connect

from phantomlink.recordings.synthetic import synthesize, synthesize_named
from tests.browser.proxy import cuttable
from tests.large_files import make_large
from tests.nodes import nodes, valkey_at
from tests.servers import LiveServer, live_server
from tools.dashboard.browser import chromium
from tools.dashboard.screenshots import PHONE, README, WIDE, opened, put_decoder

TOKEN = "a-token-of-the-pictures-0123456789"


@dataclass(frozen=True)
class Album:
    """Where pictures of one theme and size go."""

    browser: Browser
    folder: Path
    theme: str
    size: tuple[int, int]

    @property
    def suffix(self) -> str:
        return f"{self.theme}-{'wide' if self.size == WIDE else 'phone'}"

    @contextmanager
    def page(self, base: str, path: str) -> Iterator[Page]:
        """A page that is closed at the end."""
        page = opened(self.browser, base, path, self.theme, self.size)
        try:
            yield page
        finally:
            page.context.close()

    def shoot(self, page: Page, name: str) -> None:
        page.screenshot(path=self.folder / f"{name}-{self.suffix}.png", full_page=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("states"))
    parser.add_argument("--only", help="of the states, by the name of their function")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        recording = Path(folder) / "reaches.nwb"
        synthesize(recording, trials=60)
        synthesize_named(Path(folder) / "counting.nwb")
        (Path(folder) / "torn.nwb").write_bytes(recording.read_bytes()[:5000])
        for theme in README:
            for size in (WIDE, PHONE):
                album = Album(browser, options.out, theme, size)
                for state in STATES:
                    if options.only in (None, state.__name__):
                        state(album, recording)


def sessions(album: Album, recording: Path) -> None:
    """A busy server: a model, a client that answers, a capture, three datasets."""
    env = {"PHANTOM_MODELS_DIR": str(recording.parent / f"models-{album.suffix}")}
    with live_server(recording, env=env) as server, ExitStack() as stack:
        server.create("swift-neural-42")
        server.create("bench", dataset="counting", speed=2.0)
        server.create("tutorial", perturbation="moderate")
        # Which is known to be torn once somebody wants it.
        server.post("/api/sessions/create", {"dataset": "torn"})
        put_decoder(server, "swift-neural-42")
        answer(server, "swift-neural-42", 400)
        server.post("/api/captures", {"session": "swift-neural-42"})
        page = stack.enter_context(album.page(server.http, "/s/swift-neural-42"))
        page.get_by_role("button", name="Play here").click()
        time.sleep(6)
        album.shoot(page, "busy-live")
        for path in ("", "timing", "decoders", "datasets"):
            with album.page(server.http, f"/{path}") as shown:
                time.sleep(3)
                album.shoot(shown, f"busy-{path or 'sessions'}")
        with album.page(server.http, "/docs") as shown:
            time.sleep(2)
            shown.screenshot(path=album.folder / f"docs-{album.suffix}.png")


def answer(server: LiveServer, code: str, n_packets: int) -> None:
    """A client that answers so many packets, fast."""
    server.post(f"/api/control/{code}/speed", {"speed": 10.0})
    server.post(f"/api/control/{code}/seek", {"trial_id": 41})
    with connect(f"{server.ws}/stream/binary/{code}") as socket:
        for _ in range(n_packets):
            message = msgpack.unpackb(socket.recv())
            data = message["data"]
            if message["type"] != "data" or data["kinematics"]["vx"] is None:
                continue
            said = {name: data[name] for name in ("packet_id", "loop", "sequence_number")}
            said |= {"vx": data["kinematics"]["vx"] * 0.8, "vy": data["kinematics"]["vy"] + 20}
            socket.send(
                msgpack.packb({"type": "prediction", "data": {**said, "decoder": "lab-kf"}})
            )
    server.post(f"/api/control/{code}/speed", {"speed": 1.0})


def live(album: Album, recording: Path) -> None:
    """One session: none yet, ready, paused, stopped, frozen, gaps, a seek, keys, faults, ended."""
    with live_server(recording, env={"PHANTOM_LOOP": "false"}) as server:
        with album.page(server.http, "/") as page:
            album.shoot(page, "no-sessions")
        with album.page(server.http, "/s/never-made") as page:
            album.shoot(page, "unknown")
        loss = {"transforms": [{"kind": "packet_loss", "probability": 0.05}]}
        server.create("one", perturbation=loss)
        with album.page(server.http, "/s/one") as page:
            album.shoot(page, "ready")
            page.get_by_role("button", name="Play here").click()
            time.sleep(4)
            server.post("/api/control/one/seek", {"packet_id": 3000})
            time.sleep(3)
            page.get_by_role("button", name="Freeze view").click()
            page.get_by_role("button", name="View one column back").click()
            page.get_by_text("Faults of your own").click()
            page.get_by_label("Add a fault").select_option("drift")
            page.get_by_text("As text").first.click()
            time.sleep(1)
            album.shoot(page, "frozen")
            page.get_by_role("button", name="Back to live").click()
            server.post("/api/control/one/pause")
            time.sleep(1)
            album.shoot(page, "paused")
            page.keyboard.press("?")
            time.sleep(0.5)
            page.screenshot(path=album.folder / f"keys-{album.suffix}.png")
            page.keyboard.press("Escape")
            page.get_by_role("button", name="Stop", exact=True).click()
            time.sleep(1)
            album.shoot(page, "stopped")
        server.create("short", speed=10.0)
        with album.page(server.http, "/s/short") as page:
            page.get_by_role("button", name="Play here").click()
            server.post("/api/control/short/seek", {"packet_id": 6900})
            time.sleep(4)
            album.shoot(page, "ended")
            server.request("DELETE", "/api/sessions/short")
            time.sleep(1.5)
            album.shoot(page, "gone")


def troubles(album: Album, recording: Path) -> None:
    """A network that is gone, a server that leaves, too many ways to watch."""
    with live_server(recording) as server, cuttable(server.address) as proxy:
        server.create("one")
        with (
            album.page(proxy.http, "/s/one") as page,
            album.page(proxy.http, "/") as listed,
            album.page(server.http, "/s/one") as leaving,
        ):
            page.get_by_role("button", name="Play here").click()
            time.sleep(3)
            proxy.cut()
            time.sleep(3)
            album.shoot(page, "network")
            album.shoot(listed, "network-sessions")
            proxy.mend()
            with ExitStack() as stack:
                for n in range(2, 5):
                    stack.enter_context(connect(f"{server.ws}/view/one?units=0-{n}"))
                with album.page(server.http, "/s/one?trial_id=5") as crowded:
                    time.sleep(1.5)
                    album.shoot(crowded, "crowded")
            server.terminate()
            time.sleep(2)
            album.shoot(leaving, "leaving")


def guarded(album: Album, recording: Path) -> None:
    """A server with a token, by hypercorn: none given, a wrong one, the right one."""
    with (
        live_server(recording, "hypercorn", env={"PHANTOM_API_TOKEN": TOKEN}) as server,
        album.page(server.http, "/s/one") as page,
    ):
        album.shoot(page, "token")
        for token, name in (
            ("not-the-token-of-this-server", "token-wrong"),
            (TOKEN, "token-right"),
        ):
            page.get_by_label("Token").fill(token)
            page.get_by_role("button", name="Continue").click()
            time.sleep(2)
            album.shoot(page, name)
        page.get_by_role("button", name="Create one").click()
        page.get_by_role("button", name="Play here").click()
        time.sleep(4)
        album.shoot(page, "token-live")
        for screen in ("Sessions", "Timing", "Decoders", "Datasets"):
            page.get_by_role("link", name=screen, exact=True).first.click()
            time.sleep(3)
            album.shoot(page, f"token-{screen.lower()}")


def moved(album: Album, recording: Path) -> None:
    """A session whose node ends: another one, which has served the page, goes on with it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        valkey_at(folder) as valkey,
        nodes(recording, "a", "b", valkey=valkey) as (a, b),
    ):
        a.create("one")
        with album.page(b.http, "/s/one") as page, album.page(b.http, "/") as listed:
            page.get_by_role("button", name="Play here").click()
            page.wait_for_function("() => window.phantomlink.now.value?.kept_columns > 80")
            album.shoot(page, "relayed")
            a.terminate()
            for n in range(4):
                album.shoot(page, f"moved-{n}")
                time.sleep(0.3)
            page.wait_for_function("() => window.phantomlink.isLive.value")
            time.sleep(3)
            album.shoot(page, "moved-live")
            album.shoot(listed, "moved-sessions")


def full(album: Album, recording: Path) -> None:
    """A server that has no room."""
    env = {"PHANTOM_MAX_VIEWERS": "1", "PHANTOM_MAX_SESSIONS": "1"}
    with live_server(recording, env=env) as server:
        server.create("one")
        with connect(f"{server.ws}/stream/one"), connect(f"{server.ws}/view/one"):
            with album.page(server.http, "/s/one") as page:
                time.sleep(1)
                album.shoot(page, "full")
            with album.page(server.http, "/") as page:
                page.get_by_role("button", name="Create and open").click()
                time.sleep(1.5)
                album.shoot(page, "full-sessions")


def expired(album: Album, recording: Path) -> None:
    """A session whose time to live is over while somebody looks."""
    with live_server(recording, env={"PHANTOM_SESSION_TTL_SECONDS": "3"}) as server:
        server.create("one")
        with album.page(server.http, "/s/one") as page:
            page.get_by_text("Session is gone").wait_for(timeout=180_000)
            album.shoot(page, "expired")


def lost(album: Album, recording: Path) -> None:
    """A recording, too large to be kept in memory, that is cut while it plays."""
    with tempfile.TemporaryDirectory(dir=recording.parent) as folder:
        path = Path(folder) / "large.nwb"
        make_large(path)
        # Of its own cache, where nothing of the whole file is kept.
        with live_server(path, env={"XDG_CACHE_HOME": f"{folder}/cache"}) as server:
            server.create("one")
            with album.page(server.http, "/s/one") as page:
                page.get_by_role("button", name="Play here").click()
                time.sleep(2)
                os.truncate(path, path.stat().st_size // 3)
                page.get_by_text("Held").wait_for(timeout=60_000)
                album.shoot(page, "held")
            server.post("/api/datasets/rescan")
            with album.page(server.http, "/datasets") as page:
                time.sleep(2)
                album.shoot(page, "held-datasets")


STATES = (sessions, live, troubles, guarded, moved, full, expired, lost)

if __name__ == "__main__":
    main()
