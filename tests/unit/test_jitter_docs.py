"""docs/internals/benchmark.md describes the benchmark that there is, soak.md the soak."""

import re
from pathlib import Path

import pytest

from tools import soak
from tools.bench.jitter import contestants as who
from tools.bench.jitter.scenarios import SCENARIOS
from tools.jitter import _parser

PAGES = Path(__file__).parents[2] / "docs/internals"
PAGE = (PAGES / "benchmark.md").read_text(encoding="utf-8")
# Flags of the page that are the server's.
OF_THE_SERVER = {"--port"}


@pytest.mark.parametrize(("page", "parser"), [("benchmark", _parser), ("soak", soak.parser)])
def test_every_flag_is_described_and_every_flag_described_is_one(page, parser) -> None:
    flags = {flag for action in parser()._actions for flag in action.option_strings}
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    described = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert described - OF_THE_SERVER == flags - {"-h", "--help"}


def test_every_scenario_has_its_row() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == [*SCENARIOS, "memory"]


def test_everybody_that_is_measured_is_introduced() -> None:
    loops = (who.FLOOR, who.ASYNCIO_SLEEP, who.ASYNCIO_DEADLINE, who.PYLSL_DEADLINE)
    for name in (*loops, who.PHANTOMLINK_LSL, who.BESIDE_LSL):
        assert f"**{name}**:" in PAGE


def test_the_place_of_the_results_is_marked() -> None:
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    assert PAGE.count(begin) == PAGE.count(end) == 1
    assert PAGE.index(begin) < PAGE.index(end)
