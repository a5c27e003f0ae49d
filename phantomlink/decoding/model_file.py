"""Models as npz files: arrays, and a line of JSON that says what they are. Nothing is executed."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from phantomlink.decoding.kalman import KalmanParameters
from phantomlink.decoding.model import Model, ModelError, Parameters
from phantomlink.decoding.refit import RefitParameters
from phantomlink.decoding.ridge import RidgeParameters
from phantomlink.decoding.rls import RlsParameters
from phantomlink.files.atomic_write import written_atomically
from phantomlink.files.regular import open_regular

FORM = "phantomlink model 1"
MAX_FILE_BYTES = 64 * 2**20

_PARAMETERS: dict[str, type[Any]] = {
    "ridge": RidgeParameters,
    "kalman": KalmanParameters,
    "kalman-pv": KalmanParameters,
    "refit": RefitParameters,
    "rls": RlsParameters,
}


def save_model(path: Path, model: Model, *, overwrite: bool = False) -> None:
    """Write a model.

    Raises:
        ModelError: the file exists, or cannot be written.
    """
    arrays: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    for field in fields(_PARAMETERS[model.kind]):
        value = getattr(model.parameters, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value
        else:
            numbers[field.name] = value
    about = {
        "form": FORM,
        "kind": model.kind,
        "numbers": numbers,
        "unit_ids": list(model.unit_ids),
        "bin_size_ms": model.bin_size_ms,
        "provenance": model.provenance,
        "training_trials": list(model.training_trials),
        "validation": model.validation,
    }
    try:
        with written_atomically(path, overwrite=overwrite) as part, part.open("wb") as out:
            np.savez(out, about=np.array(json.dumps(about)), **arrays)
    except FileExistsError:
        raise ModelError(f"{path} exists") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror}") from error


def load_model(path: Path) -> Model:
    """Read a model.

    Raises:
        ModelError: it cannot be read, or is no model; pickled objects are refused.
    """
    try:
        with open_regular(path) as file:
            return _read(file)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except (ValueError, TypeError, KeyError, zipfile.BadZipFile, EOFError) as error:
        # numpy raises ValueError for a pickled object.
        raise ModelError(f"{path}: is no model that `phantomlink fit` made: {error}") from error


def _read(file: BinaryIO) -> Model:
    if file.seek(0, io.SEEK_END) > MAX_FILE_BYTES:
        raise ModelError(f"has more than {MAX_FILE_BYTES} bytes")
    file.seek(0)
    if file.read(2) != b"PK":
        raise ModelError("is no npz file")
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        about = json.loads(str(stored["about"][()]))
        if about["form"] != FORM:
            raise ModelError(f"form: got {about['form']!r}, takes {FORM!r}")
        kind = about["kind"]
        if kind not in _PARAMETERS:
            raise ModelError(f"kind: got {kind!r}, takes {', '.join(_PARAMETERS)}")
        made_of = _PARAMETERS[kind]
        values = {
            field.name: (
                about["numbers"][field.name]
                if field.name in about["numbers"]
                else np.asarray(stored[field.name])
            )
            for field in fields(made_of)
        }
    parameters: Parameters = made_of(**values)
    unit_ids = tuple(int(unit_id) for unit_id in about["unit_ids"])
    if len(unit_ids) != parameters.n_units:
        raise ModelError(f"{len(unit_ids)} unit ids for {parameters.n_units} units")
    return Model(
        kind,
        parameters,
        unit_ids,
        float(about["bin_size_ms"]),
        about["provenance"],
        tuple(int(trial) for trial in about["training_trials"]),
        about["validation"],
    )
