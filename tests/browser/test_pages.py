"""Every page, with both entries, with and without a token: what it does, and what it must not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser.pages import Visit
from tests.servers import ALL_ENTRIES, LiveServer, live_server

TOKEN = "a-token-of-the-tests-0123456789"
PAGES = ("/", "/s/shown", "/timing", "/decoders", "/datasets")


@pytest.fixture(scope="module", params=ALL_ENTRIES)
def any_entry(request: pytest.FixtureRequest, reaches: Path) -> Iterator[LiveServer]:
    with live_server(reaches, entry=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def guarded(reaches: Path) -> Iterator[LiveServer]:
    with live_server(reaches, env={"PHANTOM_API_TOKEN": TOKEN}) as server:
        yield server


def play(page: Visit) -> None:
    page.until("window.phantomlink.state.value")
    page.page.get_by_role("button", name="Play here").click()
    page.until("window.phantomlink.now.value?.kept_columns > 20")


def test_every_page_opens_under_its_policy(
    visit: Callable[..., Visit], any_entry: LiveServer
) -> None:
    any_entry.create("shown")
    for path in PAGES:
        page = visit(any_entry, path)
        page.page.get_by_role("heading", level=1).wait_for()
        if path == "/s/shown":
            play(page)
            page.page.locator("[data-test=live]", has_text=re.compile("^live$")).wait_for()


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing(
    visit: Callable[..., Visit], server: LiveServer, path: str, theme: str
) -> None:
    server.create("shown")
    page = visit(server, path, theme=theme)
    page.page.get_by_role("heading", level=1).wait_for()
    if path == "/s/shown":
        play(page)
        page.page.keyboard.press("j")
        page.page.get_by_text("Faults of your own").click()
        page.page.get_by_label("Add a fault").select_option("drift")
        page.page.get_by_role("heading", name="Around the event").wait_for()
    page.page.wait_for_timeout(500)
    assert page.axe() == []


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_scrolls_in_one_direction(
    visit: Callable[..., Visit], server: LiveServer, path: str
) -> None:
    server.create("shown")
    page = visit(server, path, width=360, height=740)
    page.page.get_by_role("heading", level=1).wait_for()
    page.page.wait_for_timeout(500)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_watching_alone_leaves_the_position_where_it_is(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    server.create("alone")
    page = visit(server, "/s/alone")
    page.until("window.phantomlink.state.value")
    page.page.wait_for_timeout(2000)
    _, position = server.get("/api/control/alone/position")
    assert position["current_packet"] == 0
    assert not position["is_playing"]
    assert page.model("isLive.value") is False
    assert "plays when somebody listens" in page.page.locator("[data-test=state]").inner_text()


def test_an_unknown_session_is_offered_to_be_made(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    page = visit(server, "/s/nobody-made-this")
    page.page.get_by_text("No such session").wait_for()
    assert server.get("/api/sessions/nobody-made-this")[0] == 404
    page.page.get_by_role("button", name="Create nobody-made-this").click()
    page.until("window.phantomlink.state.value")


def test_a_deleted_session_is_gone(visit: Callable[..., Visit], server: LiveServer) -> None:
    server.create("deleted")
    page = visit(server, "/s/deleted")
    page.until("window.phantomlink.state.value")
    server.request("DELETE", "/api/sessions/deleted")
    page.page.get_by_text("Session is gone").wait_for()
    assert page.page.get_by_role("button", name="Create deleted").is_visible()


def test_two_browsers_see_one_state(visit: Callable[..., Visit], server: LiveServer) -> None:
    server.create("both")
    first, second = visit(server, "/s/both"), visit(server, "/s/both")
    play(first)
    second.until("window.phantomlink.isLive.value")
    second.page.get_by_role("button", name="Pause").click()
    for page in (first, second):
        page.until("window.phantomlink.state.value.is_paused")
        state = page.page.locator("[data-test=state]")
        state.filter(has_text="session paused for 1 listener").wait_for()
    first.page.get_by_role("button", name="moderate", exact=True).click()
    second.page.locator("[data-test=perturbation]", has_text="moderate").wait_for()
    second.page.locator("select").filter(has_text="0.25").select_option("2")
    first.until("window.phantomlink.state.value.speed === 2")
    assert server.get("/api/sessions/both")[1]["speed"] == 2


def test_steering(visit: Callable[..., Visit], server: LiveServer) -> None:
    server.create("steered")
    page = visit(server, "/s/steered")
    play(page)
    page.page.keyboard.press(" ")
    page.until("window.phantomlink.state.value.is_paused")
    before = page.model("state.value.current_packet")
    page.page.get_by_role("button", name="Step", exact=True).click()
    page.until(f"window.phantomlink.state.value.current_packet === {before + 1}")
    page.until("window.phantomlink.state.value.is_paused")
    page.page.get_by_label("Go to").fill("0:20")
    page.page.get_by_role("button", name="Go", exact=True).click()
    page.until("window.phantomlink.state.value.current_packet === 800")
    page.page.get_by_role("button", name="Trial +1").click()
    page.until("window.phantomlink.state.value.current_packet > 800")
    page.page.get_by_role("slider", name="Position in the recording").focus()
    page.page.keyboard.press("Home")
    page.until("window.phantomlink.state.value.current_packet === 0")
    page.page.get_by_role("button", name="Stop", exact=True).click()
    page.until("window.phantomlink.state.value.is_stopped")


def test_sliders_perturb(visit: Callable[..., Visit], server: LiveServer) -> None:
    server.create("slid")
    page = visit(server, "/s/slid")
    play(page)
    page.page.get_by_text("Faults of your own").click()
    page.page.get_by_label("Add a fault").select_option("gaussian_noise")
    field = page.page.get_by_role("spinbutton", name="noise std, number")
    field.fill("0.7")
    # What is typed stays, although the page is drawn anew meanwhile.
    for _ in range(2):
        rate = page.page.get_by_text("mean rate").inner_text()
        page.page.get_by_text("mean rate").filter(has_not_text=rate).wait_for()
    assert field.input_value() == "0.7"
    field.press("Tab")
    page.page.get_by_role("button", name="Apply").click()
    page.page.locator("[data-test=perturbation]", has_text="custom").wait_for()
    _, answer = server.get("/api/sessions/slid/perturbation")
    (transform,) = answer["perturbation"]["transforms"]
    assert (transform["kind"], transform["noise_std"]) == ("gaussian_noise", 0.7)
    page.page.get_by_role("button", name="Clean").click()
    page.page.locator("[data-test=perturbation]", has_text="clean").wait_for()


def test_sessions_are_made_linked_and_deleted_with_undo(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    page = visit(server, "/").page
    page.get_by_label("Code", exact=True).fill("from-the-page")
    page.get_by_label("Bin width, ms").fill("50")
    page.get_by_label("Perturbation").select_option("light")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Create and open").click()
    page.wait_for_url(re.compile("/s/from-the-page$"))
    _, session = server.get("/api/sessions/from-the-page")
    assert (session["bin_size_ms"], session["seed"]) == (50, 7)
    page.goto(server.http + "/")
    page.get_by_role("button", name="Copy link of from-the-page").click()
    assert page.evaluate("navigator.clipboard.readText()") == f"{server.http}/s/from-the-page"
    # The time to undo is not over before this test says so.
    page.clock.install()
    page.clock.pause_at(time.time() + 3600)
    page.get_by_role("button", name="Delete from-the-page").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("link", name="from-the-page").wait_for()
    assert server.get("/api/sessions/from-the-page")[0] == 200
    page.get_by_role("button", name="Delete from-the-page").click()
    page.clock.run_for(6000)
    while server.get("/api/sessions/from-the-page")[0] != 404:
        page.wait_for_timeout(200)


def test_an_address_holds_the_view(visit: Callable[..., Visit], server: LiveServer) -> None:
    server.create("linked")
    page = visit(server, "/s/linked?at=400&window=30&units=11&theme=light")
    page.until(
        "window.phantomlink.state.value?.is_paused && window.phantomlink.state.value.current_packet === 400"
    )
    assert page.page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.model("options.value.window") == 30
    shown = page.page.locator("[data-test=unit-count]").inner_text()
    assert not shown.startswith("142 of")
    page.page.keyboard.press("1")
    page.page.wait_for_url(re.compile("window=5"))


def test_single_keys_can_be_switched_off(visit: Callable[..., Visit], server: LiveServer) -> None:
    server.create("keys")
    page = visit(server, "/s/keys")
    page.until("window.phantomlink.state.value")
    page.page.keyboard.press("?")
    page.page.get_by_role("checkbox", name="single keys are on").uncheck()
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("f")
    page.page.wait_for_timeout(500)
    assert not page.model("now.value.is_frozen")


def test_the_keyboard_alone_reaches_and_does_everything(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    server.create("typed")
    page = visit(server, "/s/typed")
    page.until("window.phantomlink.state.value")
    page.page.get_by_role("heading", name="Connect").wait_for()
    reached: list[str] = []
    while True:
        page.page.keyboard.press("Tab")
        name, is_marked = page.page.evaluate(
            """() => {
              const element = document.activeElement;
              const name = element === document.body ? "" : [element.getAttribute("aria-label"),
                element.labels?.[0]?.textContent, element.textContent].find((each) => each?.trim());
              return [(name ?? "?").trim().split("\\n")[0], getComputedStyle(element).outlineStyle !== "none"];
            }"""
        )
        if name == "" or name in reached[:1]:
            break
        assert is_marked, name
        reached.append(name)
    wanted = (
        "Skip to content|Sessions|API|Keys|Light theme|Play here|Pause|Stop|Trial +1|Go|Record|In pages|"
        "Freeze view|60 s|As text|Position in the recording|moderate|Faults of your own|Next unit|"
        "Copy link|JavaScript|Copy|Digest of what this session sends"
    )
    assert set(wanted.split("|")) - set(reached) == set()
    for label in ("Go to", "Speed", "Watch", "Units", "Sort", "Seed", "Align"):
        assert any(name.startswith(label) for name in reached), label
    page.page.get_by_role("button", name="Play here").focus()
    page.page.keyboard.press("Enter")
    page.until("window.phantomlink.isLive.value")
    page.page.get_by_role("button", name="Keys").focus()
    for way in ("Escape", "Tab"):
        page.page.keyboard.press("Enter")
        page.page.get_by_role("dialog").wait_for()
        page.page.keyboard.press(way)
        if way == "Tab":
            page.page.keyboard.press("Enter")
        page.page.get_by_role("dialog").wait_for(state="detached")
        # Where it was before.
        assert page.page.evaluate("document.activeElement.textContent") == "Keys"


def test_a_token_end_to_end(visit: Callable[..., Visit], guarded: LiveServer) -> None:
    authorized = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    guarded.request("POST", "/api/sessions/create", {"custom_code": "secret"}, authorized)
    asking = visit(guarded, "/s/secret")
    asking.page.get_by_role("heading", name="This server wants a token").wait_for()
    asking.page.get_by_label("Token").fill(TOKEN)
    asking.page.get_by_role("button", name="Continue").click()
    play(asking)
    given = visit(guarded, f"/#token={TOKEN}")
    given.page.get_by_role("link", name="secret").wait_for()
    assert TOKEN not in given.page.url
    given.page.get_by_role("link", name="secret").click()
    given.until("window.phantomlink.isLive.value")
    wrong = visit(guarded, "/#token=not-the-token-of-this-server")
    wrong.page.get_by_role("heading", name="This server has refused the token").wait_for()
    wrong.page.get_by_label("Token").fill(TOKEN)
    wrong.page.get_by_role("button", name="Continue").click()
    wrong.page.get_by_role("link", name="secret").wait_for()
