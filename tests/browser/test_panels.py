"""The panels beside the raster: units, decoders, captures, the whole recording; each against the truth."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Error as PlaywrightError

from tests.browser.pages import Visit
from tests.browser.test_picture import held, played, seen
from tests.browser.truth import Truth, read_truth
from tests.servers import LiveServer

UNIT = 7
CHART_HEIGHT, CHART_TOP, CHART_BOTTOM = 150, 20, 36
HALF = 20
BIN = 0.025


@pytest.fixture(scope="module")
def truth(reaches: Path) -> Truth:
    return read_truth(reaches)


def drawn(page: Visit, selector: str) -> NDArray[np.float64]:
    """Heights of the points of a chart's line, as parts of the chart's height."""
    path = page.page.locator(selector).get_attribute("d")
    assert path is not None
    ys = np.array([float(y) for y in re.findall(r"[ML][-\d.e]+ ([-\d.e]+)", path)])
    bottom = CHART_HEIGHT - CHART_BOTTOM
    return (bottom - ys) / (bottom - CHART_TOP)


def trials_of(reaches: Path) -> dict[str, NDArray[Any]]:
    with h5py.File(reaches) as file:
        table = file["intervals/trials"]
        return {name: table[name][:] for name in ("start_time", "stop_time", "move_onset_time")}


def received_psth(truth: Truth, trials: dict[str, NDArray[Any]], n_bins: int) -> NDArray[Any]:
    """Spikes a second around the onset of movement, of bins [0, n_bins), each in its own trial."""
    spikes, seconds = np.zeros(2 * HALF), np.zeros(2 * HALF)
    starts = np.arange(n_bins) * BIN
    for start, stop, onset in zip(*trials.values(), strict=True):
        if np.isnan(onset):
            continue
        event = int(np.floor(onset / BIN + 1e-9))
        for bin_index in np.flatnonzero((starts >= start - 1e-9) & (starts < stop - 1e-9)):
            place = bin_index - event + HALF
            if 0 <= place < 2 * HALF:
                spikes[place] += truth.counts[bin_index, UNIT]
                seconds[place] += BIN
    with np.errstate(invalid="ignore"):
        return spikes / seconds


def recorded_psth(reaches: Path, trials: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Spikes a second around the onset of movement, of all trials, from spike times."""
    with h5py.File(reaches) as file:
        ends = file["units/spike_times_index"][:]
        times = file["units/spike_times"][ends[UNIT - 1] : ends[UNIT]]
    edges = np.round((np.arange(2 * HALF + 1) - HALF) * BIN, 9)
    onsets = trials["move_onset_time"]
    onsets = onsets[np.isfinite(onsets)]
    counts = sum(np.histogram(np.round(times - each, 9), edges)[0] for each in onsets)
    return np.asarray(counts) / (len(onsets) * BIN)


def test_rates_around_an_event_equal_those_of_the_file(
    visit: Callable[..., Visit], server: LiveServer, reaches: Path, truth: Truth
) -> None:
    page = played(visit, server, "psth", 420)
    page.until("window.phantomlink.trials.value.length")
    n_bins = page.still()["packets"][-1] + 1
    page.page.evaluate(f"window.phantomlink.set({{ unit: {UNIT} }})")
    trials = trials_of(reaches)
    received = received_psth(truth, trials, n_bins)
    page.until(f"window.phantomlink.unit.value?.psth.times.length === {2 * HALF}")
    shown = page.model("unit.value.psth")
    got = np.array([np.nan if rate is None else rate for rate in shown["rates"]])
    np.testing.assert_allclose(got, received, rtol=1e-9)
    recorded = recorded_psth(reaches, trials)
    page.page.locator(".unit .series.s1").first.wait_for()
    most = max(np.nanmax(received), recorded.max())
    lines = [drawn(page, f".unit figure >> nth=0 >> .series.s{i}") for i in (0, 1)]
    np.testing.assert_allclose(lines[0], received[np.isfinite(received)] / most, atol=1e-6)
    np.testing.assert_allclose(lines[1], recorded / most, atol=1e-6)


def test_the_overview_is_that_of_the_file(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    server.create("overview")
    page = visit(server, "/s/overview")
    page.page.locator(".line .overview").wait_for(state="attached")
    path = page.page.locator(".line .overview").get_attribute("d") or ""
    heights = np.array([40 - float(y) for y in re.findall(r"L[-\d.e]+ ([-\d.e]+)", path)]) / 36
    status, answer = server.get("/api/datasets/reaches/overview?columns=1000")
    assert status == 200
    edges = np.round(np.array(answer["edges_seconds"]) / BIN).astype(int)
    spikes = np.array([truth.counts[a:b].sum() for a, b in pairwise(edges)])
    assert len(heights) == len(spikes)
    np.testing.assert_allclose(heights, spikes / spikes.max(), atol=1e-6)


def test_a_brush_loops_over_what_it_covers(visit: Callable[..., Visit], server: LiveServer) -> None:
    page = played(visit, server, "brushed", 300)
    box = page.page.locator(".scrubber .line").bounding_box()
    assert box is not None
    total = page.model("metadata.value.total_packets")

    def x_of(packet: int) -> float:
        return box["x"] + packet / total * box["width"]

    y = box["y"] + 10
    page.page.keyboard.down("Shift")
    page.page.mouse.move(x_of(60), y)
    page.page.mouse.down()
    page.page.mouse.move(x_of(120), y)
    page.page.mouse.move(x_of(160), y)
    page.page.mouse.up()
    page.page.keyboard.up("Shift")
    page.until("window.phantomlink.now.value.has_loop")
    for _ in range(5):
        page.page.wait_for_timeout(300)
        assert 50 <= page.model("now.value.packet_id") <= 170
    assert server.get("/api/sessions/brushed")[1]["current_packet"] > 200


def test_a_capture_is_begun_followed_and_ended(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    page = played(visit, server, "captured", 20)
    server.post("/api/control/captured/speed", {"speed": 1})
    server.post("/api/control/captured/resume")
    page.page.get_by_role("button", name="Record").click()
    page.page.locator(
        "[data-test=recording]", has_text=re.compile(r"\d:(0[1-9]|[1-9]\d) · .* [kM]B")
    ).wait_for()
    _, listed = server.get("/api/captures")
    running = [each for each in listed["captures"] if each["session"] == "captured"]
    assert [each["state"] for each in running] == ["running"]
    assert page.page.locator(".recording .light.on").is_visible()
    page.page.get_by_role("button", name="Stop recording").click()
    page.page.get_by_role("button", name="Record").wait_for()
    other = visit(server, "/datasets")
    other.page.get_by_role("row", name=running[0]["id"]).get_by_text("complete").wait_for()
    with other.page.expect_download() as download:
        other.page.get_by_role("button", name=f"Download {running[0]['id']}").click()
    assert download.value.path().stat().st_size > 1000
    row = other.page.get_by_role("row", name=running[0]["id"])
    while row.count():
        # While it is being converted this is refused, and the page says so.
        with suppress(PlaywrightError):
            row.get_by_role("button", name="Delete").click(timeout=1000)
        other.page.wait_for_timeout(500)


def test_what_was_not_observed_is_marked(
    visit: Callable[..., Visit], server: LiveServer, reaches: Path
) -> None:
    page = played(visit, server, "observed", 300)
    read = page.still()
    with h5py.File(reaches) as file:
        intervals = np.unique(file["units/obs_intervals"][:], axis=0)
    starts = np.array(read["packets"]) * BIN
    seen_at_all = (
        (intervals[:, 0] < starts[:, None] + BIN - 1e-9)
        & (intervals[:, 1] > starts[:, None] + 1e-9)
    ).any(axis=1)
    unobserved = np.array(read["flags"]) & 32 > 0
    assert unobserved.any()
    assert (unobserved == ~seen_at_all).all()


def test_decoded_cursors_go_with_the_decoded_velocities(
    visit: Callable[..., Visit], server: LiveServer
) -> None:
    server.create("decoded")
    asked = {"decoder": "ridge", "trials": list(range(16))}
    status, made = server.post("/api/sessions/decoded/calibrate", asked)
    assert status == 202, made
    page = visit(server, "/s/decoded")
    page.until("window.phantomlink.state.value")
    model = f"/api/models/{made['model_id']}"
    while server.get(model)[1]["state"] == "fitting":
        page.page.wait_for_timeout(200)
    answer = server.request(
        "PUT", "/api/sessions/decoded/decoders/mine", {"model": made["model_id"]}
    )
    assert answer[0] == 200, answer
    page.page.get_by_role("button", name="Play here").click()
    seen(page, 120)
    page.page.locator("[data-test=decoded]", has_text="mine").wait_for()
    page.page.locator(".decoders table", has_text="mine").wait_for()
    read = held(page, server, "decoded")
    (cursor,) = read["cursor"]["decoded"]
    assert cursor["name"] == "mine"
    # The cursor is where the velocities of the trial's columns carry it from its true place.
    last = len(read["packets"]) - 1
    first = last
    while first > 0 and read["trials"][first - 1] == read["trials"][last]:
        first -= 1
    x, y = read["positions"][first]
    for vx, vy in read["decoded"]["mine"][first + 1 :]:
        if np.isfinite(vx if vx is not None else np.nan):
            x, y = x + vx * BIN, y + vy * BIN
    assert (cursor["x"], cursor["y"]) == pytest.approx((x, y), abs=0.01)
