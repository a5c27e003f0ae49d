"""The picture equals the truth: pixels and points against the file, computed apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Error as PlaywrightError

from phantomlink.recordings.synthetic import synthesize
from tests.browser.pages import Visit
from tests.browser.proxy import cuttable
from tests.browser.truth import Truth, image, raster_colours, read_truth
from tests.servers import LiveServer, live_server

MOST_STEPPED = 1000
GAP, BREAK, LOST, PERTURBED, UNOBSERVED = 2, 1, 4, 8, 32


@pytest.fixture(scope="module")
def truth(reaches: Path) -> Truth:
    return read_truth(reaches)


def played(
    visit: Callable[..., Visit], server: LiveServer, code: str, n_columns: int, **options: Any
) -> Visit:
    """A live page that has seen so many columns of a session; it is paused there."""
    server.create(code, **options)
    return held_after(visit(server, f"/s/{code}"), server, code, n_columns)


def held_after(
    page: Visit, server: LiveServer, code: str, n_packets: int, speed: float = 8
) -> Visit:
    """The page, where so many packets have been played for it, fast and paused."""
    page.until("window.phantomlink.state.value")
    server.post(f"/api/control/{code}/pause")
    server.post(f"/api/control/{code}/speed", {"speed": speed})
    page.page.get_by_role("button", name="Play here").click()
    page.until("window.phantomlink.state.value.listeners > 0")
    stepped(page, server, code, n_packets)
    return page


def stepped(page: Visit, server: LiveServer, code: str, n_packets: int) -> None:
    """Have so many more packets played: however slow the machine is, there come no more."""
    _, session = server.get(f"/api/sessions/{code}")
    assert session["is_paused"]
    end = session["current_packet"]
    for n_done in range(0, n_packets, MOST_STEPPED):
        n = min(MOST_STEPPED, n_packets - n_done)
        end += n
        assert server.post(f"/api/control/{code}/step", {"packets": n})[0] == 200
        page.until(
            "window.phantomlink.state.value.is_paused"
            f" && window.phantomlink.state.value.current_packet === {end}",
        )


def seen(page: Visit, n_columns: int) -> None:
    """Wait until the ring has so many columns."""
    page.until(f"window.phantomlink.now.value?.kept_columns >= {n_columns}")


def held(page: Visit, server: LiveServer, code: str) -> dict[str, Any]:
    """Pause, and what the canvases show then."""
    server.post(f"/api/control/{code}/pause")
    page.until("window.phantomlink.state.value.is_paused")
    return page.still()


def check_picture(
    page: Visit,
    read: dict[str, Any],
    expected: Callable[[int, int], NDArray[Any]],
    at_least: int = 200,
) -> None:
    """Each column's pixels are the colours of its counts.

    Args:
        page: the live page.
        read: what it says it shows.
        expected: counts of each unit in [first, first + bins).
        at_least: columns that must be compared.
    """
    shown = raster_colours(image(page.pixels("raster-canvas")), read)
    table = page.page.evaluate(
        """async ([theme, maximum]) => {
          const { colourTable } = await import(new URL("static/core/palette.js", new URL("../", location.href)).href);
          return [...colourTable(theme, maximum)];
        }""",
        ["dark", read["maximum"]],
    )
    colours = np.array([[v & 255, (v >> 8) & 255, (v >> 16) & 255] for v in table], np.uint8)
    per_row, n_rows = read["perRow"], read["rows"]
    n_compared = 0
    for column, packet in enumerate(read["packets"]):
        # What is hatched says that its counts are not known.
        if read["flags"][column] & (GAP | UNOBSERVED):
            continue
        counts = np.minimum(expected(packet, read["bins"][column])[read["units"]], 255)
        padded = np.concatenate([counts, np.zeros(n_rows * per_row - len(counts), int)])
        rows = padded.reshape(n_rows, per_row).max(axis=1)
        different = (shown[column] != colours[rows]).any(axis=1)
        assert not different.any(), f"column {column}, packet {packet}, rows {different.nonzero()}"
        n_compared += 1
    assert n_compared >= at_least


def from_file(truth: Truth) -> Callable[[int, int], NDArray[Any]]:
    return lambda packet, bins: truth.counts[packet : packet + bins].sum(axis=0)


def test_raster_and_cursor_over_a_seek(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    page = played(visit, server, "seek", 150)
    server.post("/api/control/seek/seek", {"packet_id": 1500})
    stepped(page, server, "seek", 240)
    read = page.still()
    assert sum(flag & BREAK > 0 for flag in read["flags"]) >= 1
    check_picture(page, read, from_file(truth), 250)
    for packet, (x, y) in zip(read["packets"], read["positions"], strict=True):
        np.testing.assert_allclose([x, y], truth.positions[packet], atol=1e-3)
    # The disc lies where its place is, by the scale that the cursor's bounds give.
    cursor, bounds = read["cursor"], read["cursor"]["bounds"]
    picture = image(page.pixels("cursor-canvas"))
    height, width = picture.shape[:2]
    span = max(
        (bounds["right"] - bounds["left"]) / (width - 44),
        (bounds["top"] - bounds["bottom"]) / (height - 44),
    )
    x, y = truth.positions[read["packets"][-1]]
    px = width / 2 + (x - (bounds["left"] + bounds["right"]) / 2) / span
    py = height / 2 - (y - (bounds["bottom"] + bounds["top"]) / 2) / span
    assert (cursor["x"], cursor["y"]) == pytest.approx((px, py), abs=0.5)
    assert picture[int(py), int(px), :3].tolist() == [0x8F, 0xF0, 0xCD]


def test_perturbed_counts_are_those_that_were_sent(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    page = played(visit, server, "perturbed", 100)
    ids = page.model("unitIds.value")
    dead = ids[::3]
    server.request(
        "PUT",
        "/api/sessions/perturbed/perturbation",
        {
            "perturbation": {
                "transforms": [
                    {"kind": "dead_units", "unit_ids": dead},
                    {"kind": "saturation", "max_count": 1},
                ]
            }
        },
    )
    stepped(page, server, "perturbed", 230)
    read = page.still()
    flags = dict(zip(read["packets"], read["flags"], strict=True))
    assert {bool(flag & PERTURBED) for flag in flags.values()} == {True, False}

    def expected(packet: int, bins: int) -> NDArray[Any]:
        counts = truth.counts[packet]
        if not flags[packet] & PERTURBED:
            return counts
        counts = np.minimum(counts, 1)
        counts[::3] = 0
        return counts

    check_picture(page, read, expected, 300)


def test_packets_that_are_lost_on_purpose_are_marked(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    loss = {"transforms": [{"kind": "packet_loss", "probability": 0.2}]}
    page = played(visit, server, "lossy", 250, perturbation=loss, seed=3)
    read = page.still()
    lost = {
        packet for packet, flag in zip(read["packets"], read["flags"], strict=True) if flag & LOST
    }
    assert len(lost) > 20
    check_picture(page, read, lambda packet, bins: truth.counts[packet] * (packet not in lost), 200)


@pytest.mark.parametrize(("bin_ms", "bins"), [(50, 1), (1, 25), (10, 2)])
def test_other_bin_widths_and_merging(
    visit: Callable[..., Visit], server: LiveServer, reaches: Path, bin_ms: float, bins: int
) -> None:
    code = f"bins-{bin_ms}"
    server.create(code, bin_size_ms=bin_ms)
    page = visit(server, f"/s/{code}?window={5 if bin_ms == 10 else 10}")
    # What is stepped through is played without gaps, whatever the machine does.
    held_after(page, server, code, 220 * bins, speed=4 if bin_ms > 1 else 1)
    seen(page, 220)
    read = page.still()
    assert set(read["bins"]) == {bins}
    # A window of ten seconds has 200 bins of 50 ms, those between trials among them.
    at_least = 120 if bin_ms == 50 else 200
    check_picture(page, read, from_file(read_truth(reaches, bin_ms)), at_least)


def test_a_gap_of_the_network_is_a_gap(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    server.create("gap")
    with cuttable(server.address) as proxy:
        page = held_after(visit(proxy, "/s/gap"), server, "gap", 130)
        proxy.cut()
        page.until("window.phantomlink.status.value.state === 'waiting'")
        page.page.locator("[data-test=live]", has_text="not live").wait_for()
        page.page.locator("[data-test=trouble]", has_text="next try in").wait_for()
        proxy.mend()
        with suppress(PlaywrightError):
            # Or it has come back by itself meanwhile.
            page.page.get_by_role("button", name="Try now").click(timeout=2000)
        page.until("window.phantomlink.status.value.state === 'open'")
        page.until("window.phantomlink.state.value.listeners > 0")
        stepped(page, server, "gap", 200)
        read = page.still()
    assert any(flag & GAP for flag in read["flags"])
    check_picture(page, read, from_file(truth), 200)


@pytest.fixture(scope="module")
def wide_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wide") / "wide.nwb"
    synthesize(path, units=1024, trials=4)
    return path


@pytest.fixture(scope="module")
def wide_server(wide_recording: Path) -> Iterator[LiveServer]:
    with live_server(wide_recording) as server:
        yield server


def test_a_thousand_units_share_rows_by_their_largest_or_are_paged(
    visit: Callable[..., Visit], wide_server: LiveServer, wide_recording: Path
) -> None:
    truth = read_truth(wide_recording)
    page = played(visit, wide_server, "wide", 230)
    read = page.still()
    assert read["perRow"] > 1
    check_picture(page, read, from_file(truth))
    page.page.get_by_role("button", name="In pages").click()
    page.page.get_by_role("button", name="Next page").click()
    page.until("window.phantomlink.shown.value.units[0] === 64")
    read = page.still()
    assert (read["perRow"], read["units"]) == (1, list(range(64, 128)))
    check_picture(page, read, from_file(truth))


def test_the_frozen_view_shows_what_was_and_the_session_goes_on(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    page = played(visit, server, "frozen", 200)
    server.post("/api/control/frozen/speed", {"speed": 1})
    page.page.keyboard.press("f")
    page.until("window.phantomlink.now.value.is_frozen")
    first = page.still()["packets"]
    server.post("/api/control/frozen/resume")
    for _ in range(5):
        page.page.keyboard.press(",")
    page.until("window.phantomlink.now.value.behind_columns > 20")
    # Or what is frozen would leave the minute that is kept, where all this takes that long.
    server.post("/api/control/frozen/pause")
    page.until(f"window.phantomlink.now.value.packet_id === {first[-1] - 5}")
    read = page.still()
    assert read["packets"][-1] == first[-1] - 5
    check_picture(page, read, from_file(truth), 180)
    assert "session goes on" in page.page.locator(".frozen").inner_text()
    page.page.keyboard.press("f")
    page.until("!window.phantomlink.now.value.is_frozen")
    server.post("/api/control/frozen/resume")
    page.until(f"window.phantomlink.now.value.packet_id > {first[-1]}")
    assert page.read()["packets"][-1] > first[-1]


def test_a_hidden_tab_draws_nothing(visit: Callable[..., Visit], server: LiveServer) -> None:
    page = played(visit, server, "hidden", 60)
    hide = """(state) => {
      Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.page.evaluate(hide, "hidden")
    drawn = page.read()["packets"]
    stepped(page, server, "hidden", 40)
    assert page.read()["packets"] == drawn
    page.page.evaluate(hide, "visible")
    assert page.still()["packets"][-40:] == list(range(60, 100))


def test_reduced_motion_sweeps(
    visit: Callable[..., Visit], server: LiveServer, truth: Truth
) -> None:
    server.create("sweep")
    page = visit(server, "/s/sweep", reduced_motion="reduce")
    page.until("window.phantomlink.state.value")
    assert page.model("options.value.sweep")
    read = held_after(page, server, "sweep", 60).still()
    # Columns stay at their number modulo the width.
    picture = image(page.pixels("raster-canvas"))
    width = read["width"]
    plot = read["plot"]
    x = int(plot["left"] + (10.5) * plot["width"] / width)
    ys = (plot["top"] + (np.arange(read["rows"]) + 0.5) * plot["height"] / read["rows"]).astype(int)
    packets = dict(enumerate(read["packets"]))
    column = picture[ys, x, :3]
    background = column[truth.counts[packets[10]] == 0]
    assert (background == background[0]).all()
    assert (column[truth.counts[packets[10]] > 0] != background[0]).any(axis=1).all()
