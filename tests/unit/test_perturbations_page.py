"""docs/explanation/perturbations.md says what there is, and what it does."""

import re
import tomllib
from fractions import Fraction
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

from phantomlink.engine.pace import rate_of_bin_size
from phantomlink.perturbation.kinds import KINDS, parameters_of
from phantomlink.perturbation.perturber import Perturber
from phantomlink.perturbation.presets import PRESETS, load_perturbation, parse_perturbation
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize
from tests.unit.test_docs import ROOT, table_after, text_of
from tools import perturbation_cost
from tools.bench.harness.text import figures_table

NAME = "docs/explanation/perturbations.md"
PAGE = text_of(NAME)


def test_every_parameter_has_its_row():
    def default(parameter):
        if parameter.required:
            return "required"
        return "" if parameter.default is None else f"{parameter.default:g}"

    assert table_after(NAME, "parameters") == [
        [f"`{kind}`", f"`{p.name}`", p.form.about, p.form.takes, default(p)]
        for kind in KINDS
        for p in parameters_of(kind)
    ]


def test_every_kind_is_explained_once():
    explained = re.findall(r"^\| `(\w+)` \| \w[^|]{20,}\| [^|]{20,}\|$", PAGE, re.MULTILINE)
    assert [name for name in explained if name in KINDS] == list(KINDS)


def test_the_presets_are_those_of_the_page():
    rows = table_after(NAME, "presets")
    for name, noise_std, drift_amplitude in rows:
        asked = [
            {"kind": "gaussian_noise", "noise_std": float(noise_std)},
            {"kind": "drift", "drift_amplitude": float(drift_amplitude)},
        ]
        preset = PRESETS[name.strip("`")]
        assert preset.steps == parse_perturbation({"transforms": asked}).steps
    named = [row[0].strip("`") for row in (*rows, *table_after(NAME, "scripts"))]
    assert named == list(PRESETS)


def test_the_script_of_the_page_is_one(tmp_path):
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "script.toml").write_text(toml)
    script = load_perturbation(tmp_path / "script.toml")
    assert script.name == tomllib.loads(toml)["name"]
    assert [step.at_seconds for step in script.steps] == [0, 60]


@pytest.fixture(scope="module")
def example():
    spec = spec_from_file_location("example", ROOT / "examples" / "perturbations.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_decoder_loses_as_much_as_the_page_says(example, tmp_path):
    """The example, with ten seeds: blocks at once, since playing them all takes half a minute."""
    synthesize(tmp_path / "synthetic.nwb")
    with open_recording(tmp_path / "synthetic.nwb") as recording:
        bins = recording.at_rate(rate_of_bin_size(25))
        block = bins.read(0, bins.grid.n_bins)
    onset_ms = [example.onset_of(trial) for trial in bins.trials]
    starts = bins.grid.starts_of(0, bins.grid.n_bins)
    trials = block.trial_rows
    since_ms = (starts - np.array([t.start_time for t in bins.trials])[trials]) * 1000
    before, after = example.AROUND_ONSET_MS
    offset = np.round(since_ms - np.array(onset_ms)[trials], 3)
    chosen = (trials >= 0) & (offset >= before) & (offset < after)
    velocity = block.kinematics[:, :2]
    chosen &= ~np.isnan(velocity).any(axis=1)
    held_out = chosen & np.isin(trials, np.unique(trials[chosen])[2::4])
    fitted = chosen & ~held_out
    inputs = example.smooth(block.counts, 25.0)
    weights, offsets = example.fit(inputs[fitted], velocity[fitted])

    def r2(counts):
        predicted = example.smooth(counts, 25.0)[held_out] @ weights + offsets
        return example.r_squared(velocity[held_out], predicted)

    def perturbed(name, seed):
        perturber = Perturber(PRESETS[name], seed=seed, unit_ids=bins.unit_ids, grid=bins.grid)
        return perturber.counts(block.counts, 0, 0)

    measured = {"clean": (block.counts.sum(axis=1).mean(), r2(block.counts), 0.0)}
    for name in example.PRESETS:
        scores = [r2(perturbed(name, seed)) for seed in range(10)]
        spikes = perturbed(name, 0).sum(axis=1).mean()
        measured[name] = (spikes, np.mean(scores), np.std(scores))
    means = [r2 for _, r2, _ in measured.values()]
    assert means[0] > 0.65
    assert (np.diff(means) < 0).all(), "worse from light to extreme"
    for (name, *shown), (measured_name, values) in zip(
        table_after(NAME, "decoder"), measured.items(), strict=True
    ):
        assert name == measured_name
        for text, value in zip(shown, values, strict=True):
            decimals = len(text.partition(".")[2])
            assert float(text) == pytest.approx(value, abs=0.51 * 10**-decimals), name


def test_the_page_has_what_the_tool_measures():
    rows = [row[0].strip("`") for row in table_after(NAME, "cost")]
    kinds = [asked["kind"] for asked in perturbation_cost.TRANSFORMS]
    assert kinds == list(KINDS)
    assert rows == [*PRESETS, *kinds]


def test_what_perturbations_cost_is_measured(synthetic_recording):
    with open_recording(synthetic_recording) as recording:
        result = perturbation_cost.measure(recording.at_rate(Fraction(40)), 2, 3)
    assert (result["units"], result["packets"], result["rounds"]) == (12, 80, 3)
    assert list(result["presets_us"]) == list(PRESETS)
    assert list(result["transforms_us"]) == list(KINDS)
    assert result["clean_us"] > 0
    # What does more takes longer, on any machine.
    assert result["presets_us"]["bad_day"] > result["transforms_us"]["saturation"]
    four = sum(result["presets_us"][name] for name in perturbation_cost.FOUR)
    assert result["four_presets_us"] == pytest.approx(four, abs=0.01)
    (row,) = (line for line in figures_table(result).splitlines() if "all_presets_us" in line)
    assert float(row.split("|")[2]) == pytest.approx(result["all_presets_us"], rel=0.01)
