"""What is kept, and the command line."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_jitter_series import connection
from tests.unit.test_jitter_slices import a_slice
from tools import jitter, soak, tick_profile
from tools.bench.harness.text import as_json
from tools.bench.jitter.raw import RawSlices, pack, unpack


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50))
def test_columns_come_back(values: list[int]) -> None:
    column = np.array(values, dtype=np.int64)
    assert unpack(pack(column)).tolist() == values


def test_regular_arrivals_take_little_room() -> None:
    arrivals = 10**15 + np.arange(10_000) * 25_000_000
    assert len(pack(arrivals)) < 300


def test_json_has_no_nan() -> None:
    value = {"a": [1.5, math.nan, (math.inf, np.float64("nan"))], "b": np.int64(3), "c": None}
    assert json.loads(as_json(value)) == {"a": [1.5, None, [None, None]], "b": 3, "c": None}


def test_a_run_is_kept_whole(tmp_path: Path) -> None:
    keep = RawSlices()
    stream = connection([0, 5, 0])
    keep("floor", 2, a_slice(1, 2, 0.3), [stream])
    keep.write(tmp_path / "run.json", {"scenario": "single"})
    document = json.loads((tmp_path / "run.json").read_text())
    (kept,) = document["slices"]
    assert (document["scenario"], kept["contestant"], kept["slice"]) == ("single", "floor", 2)
    assert unpack(kept["connections"][0]["arrival_ns"]).tolist() == stream.arrival_ns.tolist()
    assert unpack(kept["connections"][0]["stamp_ns"]).tolist() == stream.stamp_ns.tolist()
    assert kept["measured"]["clean"]["interval"]["p50"] == 2
    assert kept["lost_fraction"] == pytest.approx(0.3)
    assert kept["measured"]["report"]["lateness_p50_ns"] is None


@pytest.mark.parametrize("tool", [jitter, soak])
def test_a_server_that_is_not_there_is_one_line(tool, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["--url", "http://127.0.0.1:1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    name = tool.__name__.rpartition(".")[2]
    assert line.startswith(f"{name}: no server at 127.0.0.1:1")


def test_a_picture_without_matplotlib_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert jitter.main(["--quick", "--plot", str(tmp_path / "out.png")]) == 2
    assert capsys.readouterr().err == ("jitter: --plot needs matplotlib: pip install matplotlib\n")


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        (jitter, ["--contestants", "floor,nobody"], "got nobody, takes"),
        (jitter, ["--slices", "0"], "invalid positive int value: '0'"),
        (jitter, ["--scenario", "unheard"], "invalid choice: 'unheard'"),
        (jitter, ["--rate", "fast"], "invalid positive Fraction value: 'fast'"),
        (tick_profile, ["--rounds", "0"], "invalid positive int value: '0'"),
    ],
)
def test_wrong_arguments_say_what_is_taken(
    tool, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        tool.main(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err
