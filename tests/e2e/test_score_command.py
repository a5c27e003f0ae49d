"""`phantomlink score` and `phantomlink fit` as a user runs them."""

from __future__ import annotations

import csv
import json
import re

import pytest

from phantomlink.cli import main

DECODER = '''
import numpy as np

class Linear:
    """Least squares on the counts of one bin."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def reset(self):
        pass

    def fit(self, counts, kinematics, trials):
        inputs = np.column_stack((counts, np.ones(len(counts))))
        self.weights = np.linalg.lstsq(inputs, kinematics[:, :2], rcond=None)[0]

    def step(self, counts):
        return self.scale * np.append(counts, 1) @ self.weights

class Failing:
    def reset(self):
        pass

    def step(self, counts):
        raise RuntimeError("out of ideas")
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "score_test_decoders.py").write_text(DECODER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_fit_then_score_then_reports(synthetic_recording, folder, capsys):
    recording = str(synthetic_recording)
    fitted = ["fit", recording, "--decoder", "kalman", "--train", "0-3", "--out", "kf.npz"]
    assert main(fitted) == 0
    told = capsys.readouterr().out
    assert re.search(r"kf.npz: kalman, fitted to 4 trials \(0-3\)", told)
    assert re.search(r"chance -?\d", told)
    scored = [
        *("score", recording, "--decoder", "kf.npz", "--decoder", "score_test_decoders:Linear"),
        *("--decoder", "rls", "--train", "0-3", "--ab", "--json"),
        *("--report", "r.json", "--report", "r.csv", "--report", "r.html"),
    ]
    assert main(scored) == 0
    printed = capsys.readouterr().out
    assert printed == (folder / "r.json").read_text()
    document = json.loads(printed)
    run = document["runs"][0]
    assert [decoder["decoder"] for decoder in run["decoders"]] == ["kf", "Linear", "rls"]
    assert (run["about"]["training_trials"], run["about"]["test_trials"]) == ("0-3", "4-5")
    assert document["about"]["truth_within_reach"].startswith("yes")
    assert len(document["about"]["sha256"]) == 64
    trials = run["decoders"][0]["scores"]["trials"]["answered"]["trials"]
    assert [trial["trial_id"] for trial in trials if trial["n"]] == [4, 5]
    assert len(run["comparison"]["pairs"]) == 12  # pairs, windows, figures
    assert "<script" not in (folder / "r.html").read_text()
    rows = list(csv.DictReader((folder / "r.csv").read_text().splitlines()))
    assert {row["decoder"] for row in rows} == {"kf", "Linear", "rls"}
    # And once more, byte for byte.
    before = (folder / "r.html").read_bytes()
    assert main(scored) == 0
    assert (folder / "r.html").read_bytes() == before
    capsys.readouterr()
    as_tables = [word for word in scored if word != "--json"][:-6]
    assert main(as_tables) == 0
    printed = capsys.readouterr().out
    for pair in run["comparison"]["pairs"]:
        figure = {"rmse": "RMSE", "r2": "R2"}[pair["figure"]]
        better = rf"{pair['first_better_in']} / {pair['second_better_in']}"
        line = (
            rf"{pair['first']} - {pair['second']} +{pair['window']} +velocity {figure} .*{better}"
        )
        assert re.search(line, printed), (line, printed)
    assert main(fitted) == 2
    assert "kf.npz exists" in capsys.readouterr().err


def test_a_matrix_over_processes_is_what_one_process_says(synthetic_recording, folder, capsys):
    command = [
        *("score", str(synthetic_recording), "--decoder", "score_test_decoders:Linear"),
        *("--options", '{"scale": 0.9}', "--train", "0-2", "--json"),
        *("--perturbation", "none", "--perturbation", "light", "--seed", "3-4"),
    ]
    assert main([*command, "--jobs", "2"]) == 0
    many = capsys.readouterr().out
    assert main([*command, "--jobs", "1"]) == 0
    assert capsys.readouterr().out == many
    abouts = [run["about"] for run in json.loads(many)["runs"]]
    assert [(about["perturbation"], about["seed"]) for about in abouts] == [
        (None, 3),
        (None, 4),
        ("light", 3),
        ("light", 4),
    ]


def test_a_limit_that_is_not_met_is_exit_code_1(synthetic_recording, folder, capsys):
    command = ["score", str(synthetic_recording), "--decoder", "rls", "--train", "0-3"]
    assert main([*command, "--fail-under", "coverage=1", "--fail-under", "r2=-5"]) == 0
    limits = ["--fail-under", "r2=0.999", "--fail-under", "movement.r2=0.999"]
    assert main([*command, *limits, "--fail-over", "rmse=0.1"]) == 1
    failed = capsys.readouterr().err.splitlines()
    assert len(failed) == 3
    assert re.match(r"phantomlink: rls: rmse in trials is \d+\.\d{4}, above 0.1", failed[2])
    assert re.match(r"phantomlink: rls: r2 in trials is -?0\.\d{4}, below 0.999", failed[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--decoder", "score_test_decoders:Failing"], "raised RuntimeError: out of ideas"),
        (["--decoder", "none.npz"], "none.npz: cannot be read"),
        (["--decoder", "kalman", "--perturbation", "lihgt"], "perturbation: got 'lihgt'"),
        (["--decoder", "kalman", "--perturbation", "{"], "perturbation: is no JSON"),
        (["--decoder", "kalman", "--seed", "x"], "seed: got 'x'"),
        (["--decoder", "kalman", "--train", "0-99"], "the recording has trials 0 to 5"),
        (["--decoder", "kalman", "--report", "r.txt"], "takes a name that ends in .json"),
        (["--decoder", "kalman", "--report", "nowhere/r.csv"], "there is no folder nowhere"),
        (["--decoder", "kalman", "--options", "[1]"], "takes a JSON object"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(
    arguments, said, synthetic_recording, folder, capsys
):
    assert main(["score", str(synthetic_recording), *arguments]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("phantomlink: ")
    assert said in last
    assert not list(folder.glob("*.csv"))
