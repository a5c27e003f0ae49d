"""Presets and scripts by name, from `presets.toml` beside this module."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from phantomlink.errors import InvalidParameterError
from phantomlink.files.regular import read_regular
from phantomlink.perturbation.parse import parse_among
from phantomlink.perturbation.perturbation import NO_PERTURBATION, Perturbation

PRESETS_FILE = "presets.toml"
_MAX_FILE_BYTES = 2**22


@cache
def _loaded() -> dict[str, Perturbation]:
    text = files(__package__ or "").joinpath(PRESETS_FILE).read_text(encoding="utf-8")
    return {
        name: parse_among({"name": name, **table}, name, {})
        for name, table in tomllib.loads(text).items()
    }


class _Presets(Mapping[str, Perturbation]):
    """Read when first asked for, so that an import does no work."""

    def __getitem__(self, name: str) -> Perturbation:
        return _loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_loaded())

    def __len__(self) -> int:
        return len(_loaded())


PRESETS: Mapping[str, Perturbation] = _Presets()
"""Presets, from the lightest to the worst, then scripts."""


def parse_perturbation(value: object, *, field: str = "perturbation") -> Perturbation:
    """A perturbation as it was asked for.

    Args:
        value: the name of a preset or script; an object with `preset`, or with `transforms` or
            `steps` and perhaps a `name`; None for none. As read from JSON or TOML.
        field: what to call the value in messages.

    Raises:
        InvalidParameterError: what is wrong, by field, with the value and what is allowed.
    """
    return parse_among(value, field, PRESETS)


def load_perturbation(path: Path) -> Perturbation:
    """The perturbation of a file: TOML where its name ends in .toml, else JSON.

    Raises:
        InvalidParameterError: the file cannot be read, or does not hold a perturbation.
    """
    try:
        text = read_regular(path, _MAX_FILE_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameterError(f"{path}: cannot be read ({error})") from None
    is_toml = path.suffix.lower() == ".toml"
    try:
        value = tomllib.loads(text) if is_toml else json.loads(text)
    except (ValueError, RecursionError) as error:
        form = "TOML" if is_toml else "JSON"
        raise InvalidParameterError(f"{path}: not {form} ({error})") from None
    return parse_perturbation(value, field=str(path))


def noise_and_drift(
    noise_std: float,
    drift_amplitude: float,
    drift_period_seconds: float,
    *,
    noise: bool = True,
    drift: bool = True,
    field: str = "perturbation",
) -> Perturbation:
    """The transforms `gaussian_noise` and `drift`, by their parameters alone.

    Args:
        noise_std: standard deviation of the noise where no spike is, spikes per bin.
        drift_amplitude: of the mean unit's gain, relative to 1.
        drift_period_seconds: of its slow wave, s of stream time.
        noise: whether to have the noise.
        drift: whether to have the drift.
        field: what to call them in messages.

    Raises:
        InvalidParameterError: a number of what is to be had is out of its range.
    """
    transforms: list[dict[str, object]] = []
    if noise:
        transforms.append({"kind": "gaussian_noise", "noise_std": noise_std})
    if drift:
        transforms.append(
            {
                "kind": "drift",
                "drift_amplitude": drift_amplitude,
                "drift_period_seconds": drift_period_seconds,
            }
        )
    if not transforms:
        return NO_PERTURBATION
    return parse_perturbation({"transforms": transforms}, field=field)
