"""The screens beside the live one: decoders, datasets and timing, and what they say of a server that is gone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import numpy as np
import pytest
from playwright.sync_api import Locator
from websockets.sync.client import connect

from tests.browser.pages import Visit
from tests.browser.proxy import cuttable
from tests.servers import LiveServer, live_server

TOKEN = "a-token-of-the-tests-0123456789"
N_TRIALS = 4
CHART_BOTTOM, CHART_TOP = 114, 20


@pytest.fixture(scope="module")
def guarded(reaches: Path) -> Iterator[LiveServer]:
    env = {"PHANTOM_API_TOKEN": TOKEN, "PHANTOM_CATALOG_FETCH": "listed"}
    with live_server(reaches, env=env) as server:
        yield server


def answer_trials(server: LiveServer, code: str) -> None:
    """Two decoders whose velocities are off by 1 and by 3 mm/s more in each trial."""
    server.create(code, speed=4.0)
    seen: set[int] = set()
    with connect(f"{server.ws}/stream/binary/{code}") as socket:
        while len(seen) <= N_TRIALS:
            message = msgpack.unpackb(socket.recv())
            if message["type"] != "data" or message["data"]["trial_id"] is None:
                continue
            data = message["data"]
            seen.add(data["trial_id"])
            true = data["kinematics"]
            for decoder, error in (("near", 1), ("far", 3)):
                said = {name: data[name] for name in ("packet_id", "loop", "sequence_number")}
                said |= {"vx": true["vx"] + error * (data["trial_id"] + 1), "vy": true["vy"]}
                prediction = {"type": "prediction", "data": {**said, "decoder": decoder}}
                socket.send(msgpack.packb(prediction))


def shows_whole(server: LiveServer, name: str, row: Locator) -> bool:
    """Whether the row of a decoder has the scores over all trials that the server tells now."""
    _, score = server.get(f"/api/sessions/compared/decoders/{name}/score")
    whole = score["answered"]["whole"].get("velocity")
    if whole is None:
        return False
    shown = row.get_by_role("cell").all_inner_texts()
    return plain(whole["r2"]["both"], 3) in shown and plain(whole["rmse"], 2) in shown


def plain(value: float, digits: int) -> str:
    """As the page writes a number."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def test_decoders_stand_side_by_side_and_differ_by_trial(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    answer_trials(server, "compared")
    page = visit(server, "/decoders?session=compared").page
    for name in ("near", "far"):
        row = page.get_by_role("row", name=re.compile(f"^{name}"))
        row.get_by_text("client, not connected").wait_for()
        assert row.get_by_text("%").is_visible()
        # The last packets are scored a while after they were sent.
        while not shows_whole(server, name, row):
            page.wait_for_timeout(200)
    card = page.get_by_label(re.compile("^near . far$")).filter(has_text="velocity")
    card.get_by_text(re.compile(f"of ([{N_TRIALS}-9]|[0-9]{{2}}) trials")).wait_for()
    # All at once: the page asks again every two seconds.
    far_better, near_better, text = card.evaluate(
        """(card) => [...["bars", "steps"].map((kind) => card.querySelector(`.series.${kind}`).getAttribute("d")),
          card.textContent]"""
    )
    tops = [float(y) for y in re.findall(r"[ML][-\d.e]+ ([-\d.e]+)", near_better)]
    heights = (CHART_BOTTOM - np.array(tops)) / (CHART_BOTTOM - CHART_TOP)
    # Of the far one more is wrong in each trial; nowhere is the near one worse.
    n = len(heights)
    assert n >= N_TRIALS
    assert f"near better in {n} of {n} trials" in text
    assert f"Mean difference {-np.mean(2 * (np.arange(n) + 1)):.4g}," in text
    np.testing.assert_allclose(heights, (np.arange(n) + 1) / n, atol=1e-6)
    assert set(re.findall(r"V([-\d.e]+)", far_better)) == {str(CHART_BOTTOM)}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_where_decoders_are_compared(
    visit: Callable[..., Visit], server: LiveServer, theme: str
) -> None:
    if server.get("/api/sessions/compared-too")[0] == 404:
        answer_trials(server, "compared-too")
    page = visit(server, "/decoders?session=compared-too", theme=theme)
    page.page.get_by_text("near better in").first.wait_for()
    assert page.axe() == []


def test_without_sessions_the_screens_say_what_to_do(
    visit: Callable[..., Visit], reaches: Path
) -> None:
    with live_server(reaches) as empty:
        for path, text in (("/timing", "No session to measure"), ("/decoders", "No session")):
            page = visit(empty, path).page
            page.get_by_text(text).wait_for()
            page.get_by_role("link", name="Create a session").click()
            page.get_by_role("heading", name="New session").wait_for()


def test_what_cannot_be_fetched_says_why(
    visit: Callable[..., Visit], server: LiveServer, guarded: LiveServer
) -> None:
    page = visit(server, "/datasets").page
    page.get_by_text("cannot be fetched from this page").wait_for()
    page.get_by_text("phantomlink fetch mc_maze_small", exact=True).wait_for()
    assert page.get_by_role("button", name=re.compile("^Fetch")).count() == 0
    allowed = visit(guarded, f"/datasets#token={TOKEN}").page
    allowed.get_by_role("button", name=re.compile("^Fetch mc_maze_small")).wait_for()
    assert allowed.get_by_text("cannot be fetched from this page").count() == 0


def test_a_capture_is_downloaded_with_a_ticket(
    visit: Callable[..., Visit], guarded: LiveServer
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    guarded.request("POST", "/api/sessions/create", {"custom_code": "kept"}, headers)
    status, capture = guarded.request("POST", "/api/captures", {"session": "kept"}, headers)
    assert status == 201
    assert guarded.request("POST", f"/api/captures/{capture['id']}/stop", None, headers)[0] == 200
    page = visit(guarded, f"/datasets#token={TOKEN}").page
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Download {capture['id']}").click()
    assert download.value.path().stat().st_size > 0
    url = download.value.url.removeprefix(guarded.http)
    assert TOKEN not in url
    # Once is once, and the path alone is not enough.
    assert guarded.get(url)[0] == 401
    assert guarded.get(url.partition("&_ticket")[0])[0] == 401


@pytest.mark.parametrize("path", ["/timing", "/decoders"])
def test_figures_of_a_server_that_is_gone_are_old(
    visit: Callable[..., Visit], server: LiveServer, path: str
) -> None:
    server.create("polled")
    with cuttable(server.address) as proxy:
        page = visit(proxy, path, is_clean=False).page
        page.locator(".grid").wait_for()
        proxy.cut()
        banner = page.locator("[data-test=trouble]")
        banner.get_by_text("No connection").wait_for()
        banner.filter(has_text="next try in").wait_for()
        assert page.locator(".grid.stale").count() == 1
        proxy.mend()
        # It may come back by itself meanwhile.
        page.evaluate("document.querySelector('[data-test=trouble] button')?.click()")
        banner.wait_for(state="detached")
        assert page.locator(".grid.stale").count() == 0


def test_a_server_that_is_full_says_so(visit: Callable[..., Visit], reaches: Path) -> None:
    with live_server(reaches, env={"PHANTOM_MAX_VIEWERS": "1"}) as full:
        full.create("full")
        first = visit(full, "/s/full")
        first.until("window.phantomlink.state.value")
        for path in ("/s/full", "/"):
            banner = visit(full, path).page.locator("[data-test=trouble]")
            banner.get_by_text("The server has no room, or is not ready").wait_for()
            assert "PHANTOM_MAX_VIEWERS" in banner.inner_text()
            banner.filter(has_text="next try in").wait_for()
    with live_server(reaches) as free:
        free.create("free")
        assert [free.get(path)[0] for path in ("/view/free", "/view", "/view/nobody")] == [
            426,
            426,
            404,
        ]
