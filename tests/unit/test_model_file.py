"""Model files: what is read is what was written, and nothing of a file is executed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from phantomlink.decoding import (
    DECODERS,
    FitOptions,
    Model,
    ModelError,
    TrainingData,
    fit_model,
    load_model,
    run_decoder,
    save_model,
)

UNIT_IDS = (101, 102, 103, 104)


@pytest.fixture(scope="module")
def data() -> TrainingData:
    rng = np.random.default_rng(0)
    n = 200
    kinematics = rng.normal(size=(n, 4))
    counts = rng.poisson(np.exp(0.3 * kinematics @ rng.normal(size=(4, 4)))).astype(np.uint16)
    return TrainingData(counts, kinematics, np.arange(n) // 20, np.ones(n, bool))


def model_of(kind, data):
    parameters = fit_model(kind, data, FitOptions(strength=1.0))
    return Model(kind, parameters, UNIT_IDS, 25.0, {"seed": 3}, (0, 2), {"r2": 0.5})


@pytest.mark.parametrize("kind", DECODERS)
def test_a_model_comes_back_as_it_was(kind, data, tmp_path):
    model = model_of(kind, data)
    save_model(tmp_path / "m.npz", model)
    again = load_model(tmp_path / "m.npz")
    said = (again.kind, again.unit_ids, again.bin_size_ms, again.training_trials)
    assert said == (kind, UNIT_IDS, 25.0, (0, 2))
    assert (again.provenance, again.validation) == ({"seed": 3}, {"r2": 0.5})
    np.testing.assert_array_equal(
        run_decoder(again.decoder(), data.counts), run_decoder(model.decoder(), data.counts)
    )


def test_a_model_is_not_overwritten_unless_asked(data, tmp_path):
    model = model_of("kalman", data)
    save_model(tmp_path / "m.npz", model)
    with pytest.raises(ModelError, match="exists"):
        save_model(tmp_path / "m.npz", model)
    save_model(tmp_path / "m.npz", model, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_it_fits_its_units_and_bins_only(data):
    model = model_of("kalman", data)
    model.check(UNIT_IDS, 25.0)
    with pytest.raises(ModelError, match=r"fitted to 4 units \(101, 102, 103, ...\); the record"):
        model.check((1, 2), 25.0)
    with pytest.raises(ModelError, match=r"bins of 25 ms; the session has bins of 10 ms"):
        model.check(UNIT_IDS, 10.0)


class Bomb:
    def __reduce__(self):
        return (print, ("executed",))


def test_pickled_objects_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "m.npz", about=np.array([Bomb()], dtype=object))
    with pytest.raises(ModelError, match="is no model"):
        load_model(tmp_path / "m.npz")
    (tmp_path / "p.npz").write_bytes(b"\x80\x04cbuiltins\nprint\n(Vexecuted\ntR.")
    with pytest.raises(ModelError, match="is no npz file"):
        load_model(tmp_path / "p.npz")
    assert "executed" not in capsys.readouterr().out


def rewritten(path, **changes):
    """The file with arrays, or members of its JSON, changed."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads(str(arrays.pop("about")))
    for name, value in changes.items():
        if name in arrays:
            arrays[name] = value
        else:
            about[name] = value
    np.savez(path, about=np.array(json.dumps(about)), **arrays)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"form": "other"}, "form: got 'other'"),
        ({"kind": "svm"}, "kind: got 'svm'"),
        ({"unit_ids": [1]}, "1 unit ids for 4 units"),
        ({"gain": np.zeros((2, 3))}, r"gain: got float64 of shape \(2, 3\), takes"),
        ({"gain": np.full((2, 4), np.nan)}, "gain: has values that are not finite"),
        ({"numbers": {}}, "is no model"),
        ({"numbers": {"n_bins": 0, "lag": 0}}, "1 bin or more"),
        ({"start": np.zeros((2, 2))}, "start: got"),
    ],
)
def test_a_file_that_is_no_model_is_told(changes, said, data, tmp_path):
    path = tmp_path / "m.npz"
    save_model(path, model_of("kalman", data))
    rewritten(path, **changes)
    with pytest.raises(ModelError, match=said):
        load_model(path)


def test_a_file_that_is_not_there_or_cut_short_is_told(data, tmp_path):
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        load_model(tmp_path / "none.npz")
    path = tmp_path / "m.npz"
    save_model(path, model_of("kalman", data))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match="is no model"):
        load_model(path)
