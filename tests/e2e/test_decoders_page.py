"""The page about decoders is true: its decoder and its commands run, its figures are measured."""

from __future__ import annotations

import re
import shlex

import pytest

from phantomlink.cli import main
from tests.blocks import ROOT
from tests.unit.test_decoder_table import DOCUMENTED

PAGE = (ROOT / "docs/guide/decoders.md").read_text()
DECODER = next(
    code
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    if "class LeastSquares" in code
)
BLOCKS = re.findall(r"<!-- (?:score|fit) -->\n```sh\n((?:phantomlink .*\n)+)```", PAGE)


@pytest.mark.parametrize("block", BLOCKS)
def test_commands_of_the_page_run(block, synthetic_recording, tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(DECODER)
    monkeypatch.chdir(tmp_path)
    for command in block.splitlines():
        # The recording of the tests is smaller than the one that the page speaks of.
        smaller = re.sub(r"--train 0-\d+", "--train 0-3", command)
        smaller = re.sub(r"--seed \d-\d", "--seed 1", smaller)
        smaller = re.sub(r"--closed-loop( \d+)?", "--closed-loop 4", smaller)
        program, name, *arguments = shlex.split(smaller)
        assert program == "phantomlink"
        assert main([name, str(synthetic_recording), *arguments]) == 0
        assert capsys.readouterr().out


def test_the_page_has_the_commands():
    names = [[shlex.split(command)[1] for command in block.splitlines()] for block in BLOCKS]
    assert names == [["score"], ["score"], ["score"], ["fit", "score"], ["fit"]]


def test_the_table_has_the_measured_figures():
    rows = re.findall(r"^\| `(\S+)`([^|]*)\| (0\.\d+) \| (0\.\d+) \|$", PAGE, re.MULTILINE)
    written = {(kind, said.strip(", ")): (float(a), float(b)) for kind, said, a, b in rows}
    for name, as_written in (
        ("ridge-1", ("ridge", "1 bin")),
        ("ridge-8", ("ridge", "8 bins")),
        ("kalman-1", ("kalman", "counts of 1 bin, lag 3")),
        ("kalman-4", ("kalman", "")),
        ("kalman-pv", ("kalman-pv", "")),
    ):
        assert written[as_written] == pytest.approx(DOCUMENTED[name][2:], abs=0.0015)


def test_the_workflow_scores_and_fails_a_decoder_that_is_worse(
    synthetic_recording, tmp_path, monkeypatch, capsys
):
    workflow = (ROOT / "examples/ci/score-decoder.yml").read_text()
    command = re.search(r"run: (phantomlink score .*)", workflow)[1]
    (tmp_path / "mine.py").write_text(DECODER)
    monkeypatch.chdir(tmp_path)
    smaller = command.replace("my_package:Decoder", "mine:LeastSquares").replace("0-74", "0-3")
    arguments = shlex.split(smaller)[2:]
    good = [text.replace("r2=0.2", "r2=-9") for text in arguments]
    assert main(["score", str(synthetic_recording), *good]) == 0
    worse = [text.replace("r2=0.2", "r2=0.99") for text in arguments]
    assert main(["score", str(synthetic_recording), *worse]) == 1
    assert (tmp_path / "scores.html").exists()
    capsys.readouterr()
