"""Reports: JSON that is JSON, a table that is safe in a spreadsheet, a page without a script."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from phantomlink.scoring.report import (
    ScoredRun,
    csv_report,
    html_report,
    json_report,
    run_of,
)
from tests.scoring import packets_of, played, reaches

NASTY = '=1+1</style><script>alert("x")</script>'


@pytest.fixture(scope="module")
def run() -> ScoredRun:
    board = played(
        packets_of(reaches(8)),
        echo=lambda packet: packet.truth,
        still=lambda packet: (1.0, 0.0) if packet.packet_id % 5 else None,
    )
    about = {"perturbation": NASTY, "seed": 3, "dataset": "made up", "sha256": None}
    return run_of(board, about, compare_seed=1, marks=[(100, "then <b>")])


def test_json_has_all_figures_and_no_times(run):
    document = json.loads(json_report([run], {"title": "x"}))
    assert document["form"] == "phantomlink scores 1"
    echo, still = document["runs"][0]["decoders"]
    assert echo["scores"]["trials"]["answered"]["whole"]["velocity"]["r2"]["both"] == 1.0
    assert "latency_ms" not in echo
    assert "late" not in echo
    assert still["coverage"] == pytest.approx(0.8, abs=0.01)
    assert document["runs"][0]["comparison"]["pairs"][0]["second"] == "still"


def test_timing_is_told_when_asked_for():
    board = played(packets_of(reaches(1)), echo=lambda packet: packet.truth)
    decoder = run_of(board, {}, with_timing=True).decoders[0]
    assert decoder["latency_ms"]["max"] == 1.0


def test_csv_has_a_row_for_each_part_and_no_formula(run):
    rows = list(csv.DictReader(io.StringIO(csv_report([run]))))
    assert {row["perturbation"] for row in rows} == {"'" + NASTY}
    whole = [row for row in rows if row["part"] == "whole" and row["decoder"] == "echo"]
    # Windows, variants, quantities.
    assert len(whole) == 8
    assert {row["r2"] for row in whole} == {"1.0"}
    trials = [row for row in rows if row["part"] == "trial" and row["decoder"] == "still"]
    assert len(trials) == 8 * 2 * 2
    assert trials[0]["quantity"] == "velocity"


def test_the_page_has_no_script_and_escapes_what_is_foreign(run):
    page = html_report([run], {"title": NASTY}, 0.025)
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag, attrs):
            tags.append(tag)
            names = {name for name, _ in attrs}
            assert not names & {"src", "href", "onload", "onclick", "style"}

    Tags().feed(page)
    assert "script" not in tags
    assert tags.count("style") == 1
    assert tags.count("html") == 1
    # Trajectories of four places, RMSE and R2 of both quantities, one difference.
    assert page.count('role="img"') == 4 + 4 + 1
    assert "then &lt;b&gt;" in page


def test_the_page_tells_once_what_is_true_of_all_runs(run):
    told = replace(run, about={"dataset": "of all", "seed": 7})
    page = html_report([told], {"dataset": "of all", "seed": 0}, 0.025)
    assert page.count("of all") == 1
    assert page.count("<dt>seed</dt>") == 2


def test_a_page_of_nothing_is_a_page():
    board = played(packets_of(reaches(1)))
    page = html_report([run_of(board, {}, compare_seed=0)], {}, 0.025)
    assert page.endswith("</html>\n")
