"""The pages are true: links lead somewhere, what exists is described, what is described exists.

Settings are compared in test_settings.py, code blocks are run in tests/e2e/test_pages.py.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from phantomlink.cli.arguments import make_parser
from phantomlink.errors import RecordingError
from phantomlink.recordings.inspection.findings import inspect_recording
from phantomlink.recordings.inspection.text import render
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import SyntheticRecording, draw_recording, synthesize
from phantomlink.rest.all_routes import ROUTES
from tests.unit.test_refused_files import REFUSED
from tests.unit.test_synthetic import around_onset, smoothed_and_lagged, trial_slices
from tools.routes_page import page_with

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "data").glob("*.md"),
        *(ROOT / "examples").glob("*.md"),
    ]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
FOLDERS = "phantomlink|docs|tests|tools|examples|data"


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def all_text() -> str:
    return "\n".join(map(text_of, NAMES))


def block_after(name: str, marker: str) -> str:
    """The fenced block behind `<!-- marker -->`."""
    found = re.search(
        rf"<!-- {marker} -->\n+```\w*\n(.*?)^```$", text_of(name), re.MULTILINE | re.DOTALL
    )
    assert found, f"{name} has no block marked {marker}"
    return found[1]


def table_after(name: str, marker: str) -> list[list[str]]:
    """Cells of the rows of the table behind `<!-- marker -->`, without its head."""
    _, found, rest = text_of(name).partition(f"<!-- {marker} -->\n")
    assert found, f"{name} has no table marked {marker}"
    lines = rest.partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


# --- links and files


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    prose = FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.*?) *$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    prose = FENCED.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert list(broken_links(ROOT / name)) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in re.findall(r"\]\(([^)\s#]+)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            if target.suffix == ".md" and target.exists():
                waiting.append(target)
    assert [page for page in PAGES if page not in reached] == []


def named_files(text: str) -> Iterator[str]:
    """Everything in a page that looks like a file of the project."""
    text = re.sub(r"https?://\S+|<!--.*?-->", "", text)
    endings = "py|md|toml|html|ini|sh"
    yield from re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]+\.(?:{endings})\b", text)
    yield from re.findall(rf"`((?:[\w-]+/)*[\w-]+\.(?:{endings})|(?:{FOLDERS})/[\w/]*)`", text)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_named_is_there(name: str) -> None:
    # The pages name modules of the package without its name in front.
    bases = (ROOT, ROOT / "phantomlink", (ROOT / name).parent)
    missing = {
        file
        for file in named_files(text_of(name))
        if not any((base / file).exists() for base in bases)
    }
    assert missing == set()


# --- modules, layers, routes, commands


def test_the_page_of_routes_has_all_of_them() -> None:
    """Mend it by `python -m tools.routes_page`."""
    page = text_of("docs/reference/rest.md")
    assert page == page_with(page, ROUTES)
    assert page.count("| `GET /health` |") == 1


def commands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield parser.prog, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from commands(child)


def test_every_command_and_flag_is_described() -> None:
    described = all_text()
    found = dict(commands(make_parser()[0]))
    assert len(found) > 4
    flags = set()
    for command, parser in found.items():
        assert f"`{command}" in described, command
        flags |= {flag for action in parser._actions for flag in action.option_strings}
    flags.discard("-h")
    assert {"--help", "--version", "--port", "--no-loop", "--sample", "--seed"} <= flags
    words = set(re.findall(r"`[^`\n]*?(--[a-z0-9-]+)(?![\w-])", described))
    assert {flag for flag in flags if flag not in words} == set()


def test_every_flag_that_is_described_is_one() -> None:
    flags = {
        flag
        for _, parser in commands(make_parser()[0])
        for action in parser._actions
        for flag in action.option_strings
    }
    pages = ("docs/reference/commands.md", "docs/guide/recordings.md", "docs/reference/settings.md")
    for name in pages:
        words = set(re.findall(r"`(--[a-z0-9-]+)`", text_of(name)))
        assert words - flags - {"--bind"} == set(), name  # --bind is hypercorn's


# --- docs/guide/recordings.md


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docs") / "synthetic.nwb"
    synthesize(path)
    return path


def test_what_inspect_prints_is_what_the_page_shows(
    synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(synthetic.parent)
    printed = render(inspect_recording(Path(synthetic.name)), 100)
    shown = block_after("docs/guide/recordings.md", "inspect")

    def without_version(text: str) -> list[str]:
        # pynwb's own, and it moves.
        return re.sub(r"(NWB version +)\S+", r"\1", text).strip().splitlines()

    assert without_version(printed) == without_version(shown)


def test_refusals_are_worded_as_the_page_has_them(
    tmp_path: Path, synthetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = set()
    for number, (make, _) in enumerate(REFUSED):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = make(folder)
        with pytest.raises(RecordingError) as caught:
            open_recording(path)
        # The sizes of a truncated file are HDF5's.
        said.add(re.sub(r"\d+ of \d+ bytes", "", str(caught.value).replace(str(path), "FILE")))
    shown = [row[1].strip("`") for row in table_after("docs/guide/recordings.md", "refusals")]
    assert len(shown) > 10
    assert {re.sub(r"\d+ of \d+ bytes", "", line) for line in shown} <= said

    monkeypatch.chdir(synthetic.parent)
    with pytest.raises(RecordingError) as caught:
        open_recording(Path(synthetic.name), options=SeriesOptions(velocity_series="wrist"))
    assert f"\nphantomlink: {caught.value}\n" in text_of("docs/guide/recordings.md")


def held_out_r2(recording: SyntheticRecording, window_ms: tuple[int, int] | None) -> float:
    """Of hand velocity by ridge regression, fitted on the training trials."""
    rates, velocities = smoothed_and_lagged(recording, window_ms)
    joined = {}
    for split in ("train", "val"):
        rows = [k for k, trial in enumerate(recording.trials) if trial.split == split]
        joined[split] = [np.concatenate([part[k] for k in rows]) for part in (rates, velocities)]
    (x, y), (x_held_out, y_held_out) = joined["train"], joined["val"]
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    gram = (x - x_mean).T @ (x - x_mean) + 3 * np.eye(x.shape[1])
    weights = np.linalg.solve(gram, (x - x_mean).T @ (y - y_mean))
    residual = y_held_out - y_mean - (x_held_out - x_mean) @ weights
    return float(1 - np.sum(residual**2) / np.sum((y_held_out - y_held_out.mean(axis=0)) ** 2))


def measured(recording: SyntheticRecording) -> list[tuple[float, ...]]:
    """The rows of the table, in its order."""
    trials, units, kinematics = recording.trials, recording.population, recording.kinematics
    stops_s = [trial.stop_ms / 1000 for trial in trials]
    gaps_ms = [after.start_ms - before.stop_ms for before, after in pairwise(trials)]
    reaction_ms = [trial.move_onset_ms - trial.go_cue_ms for trial in trials]
    delay_ms = [trial.go_cue_ms - trial.target_on_ms for trial in trials]
    n_spikes = sum(map(len, recording.spikes))
    counts = around_onset(recording)
    near_hz = counts.mean(axis=(1, 2)) / 0.025
    population_hz = counts.mean(axis=(0, 1)) / 0.025
    speed = np.hypot(*kinematics.hand_mm_s.T)
    far = [
        speed[span].max()
        for trial, span in zip(trials, trial_slices(recording), strict=True)
        if np.hypot(*trial.maze.reached_mm) > 130
    ]
    return [
        (len(units), *np.bincount(units.areas), units.heldout.sum()),
        (len(trials),),
        (np.mean([trial.duration_ms for trial in trials]) / 1000,),
        (max(stops_s),),
        (min(gaps_ms), max(gaps_ms)),
        (len(kinematics.seconds),),
        tuple(np.bincount([trial.active_target for trial in trials])),
        (min(reaction_ms), max(reaction_ms)),
        (min(delay_ms), max(delay_ms)),
        (n_spikes,),
        (n_spikes / len(units) / (len(kinematics.seconds) / 1000),),
        (np.median(near_hz),),
        tuple(np.bincount(counts.ravel())[:3] / counts.size),
        (np.median(counts.var(axis=(1, 2)) / counts.mean(axis=(1, 2))),),
        (population_hz[0], population_hz.max(), population_hz[-1]),
        (np.median(far),),
        (held_out_r2(recording, (-250, 450)),),
        (held_out_r2(recording, None),),
    ]


def test_the_synthetic_recording_is_as_the_page_measures_it() -> None:
    rows = table_after("docs/guide/recordings.md", "resemblance")
    for (label, _, shown), values in zip(rows, measured(draw_recording()), strict=True):
        texts = re.findall(r"\d*\.?\d+", shown)
        assert len(texts) == len(values), label
        for text, value in zip(texts, values, strict=True):
            decimals = len(text.partition(".")[2])
            assert float(text) == pytest.approx(value, abs=0.51 * 10**-decimals), label
