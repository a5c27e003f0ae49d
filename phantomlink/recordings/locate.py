"""Which recording to play."""

from __future__ import annotations

from pathlib import Path

from phantomlink.errors import RecordingError
from phantomlink.recordings.catalogue.datasets import find_datasets
from phantomlink.recordings.formats import SUFFIXES
from phantomlink.recordings.not_recordings import refuse_address
from phantomlink.recordings.synthetic_default import (
    make_synthetic,
    plays_synthetic,
    synthetic_recording,
)
from phantomlink.settings import Settings


def locate_recording(settings: Settings, wanted: str | None) -> Path:
    """The file to play.

    Args:
        settings: where recordings are looked for.
        wanted: a path or a dataset's name; None for `DATA_DIR/DATASET.nwb`, and the synthetic
            recording where neither was given and that file is not there.

    Raises:
        RecordingError: the file that was asked for is not there, or the synthetic recording
            cannot be made.
        SettingsError: it has to be looked for in the catalogue, which has the wrong form.
    """
    if wanted is not None:
        refuse_address(wanted)
        path = _named(settings, wanted)
        is_there = path.exists() or path.is_symlink()
        return path if is_there else _in_catalogue(settings, wanted, path)
    if plays_synthetic(settings, wanted):
        return synthetic_recording()
    path = settings.default_recording_path
    if not path.exists():
        raise RecordingError(f"{path}: no such file; {_known_datasets(settings)}")
    return path


def _named(settings: Settings, wanted: str) -> Path:
    path = Path(wanted).expanduser()
    is_path = path.suffix.lower() in SUFFIXES or len(path.parts) > 1 or path.exists()
    return path if is_path else settings.data_directory / f"{wanted}.nwb"


def _in_catalogue(settings: Settings, wanted: str, path: Path) -> Path:
    """The file of a dataset that lies in a folder of the data directory, or is made."""
    dataset = find_datasets(settings.data_directory).get(wanted)
    if dataset is None:
        raise RecordingError(f"{path}: no such file; {_known_datasets(settings)}")
    if dataset.path is None:
        raise RecordingError(f"dataset {wanted} is not here yet: phantomlink fetch {wanted}")
    if dataset.is_to_make:
        make_synthetic()
    return dataset.path


def _known_datasets(settings: Settings) -> str:
    names = sorted(path.stem for path in settings.data_directory.glob("*.nwb"))
    if not names:
        return (
            f"the data directory {settings.data_directory} has no recordings; `phantomlink serve` "
            "without a name plays a synthetic one"
        )
    return f"the data directory {settings.data_directory} has {', '.join(names)}"
