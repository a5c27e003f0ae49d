"""The datasets that there are, by name: from the data directory, the command line, catalogues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from phantomlink.errors import InvalidParameterError, NotFoundError, SettingsError
from phantomlink.files.shown import shown, without_folders
from phantomlink.recordings.catalogue.entries import Entry, read_entries, read_sidecar
from phantomlink.recordings.formats import SUFFIXES
from phantomlink.recordings.options import SEARCH, SeriesOptions
from phantomlink.recordings.synthetic_default import synthetic_path

_MAX_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset.

    Attributes:
        name: unique, without a slash.
        path: of its file; None when it is only listed.
        entry: what catalogue files and a file beside it say of it.
        options: how it is played.
        problem: why it cannot be played though its file is there: its description is wrong.
    """

    name: str
    path: Path | None
    entry: Entry
    options: SeriesOptions = SEARCH
    problem: str | None = None

    @property
    def is_to_make(self) -> bool:
        """Whether it is the synthetic recording, and has still to be made; looks at the disk."""
        return self.path == synthetic_path() and not self.path.exists()


class UnknownDatasetError(NotFoundError):
    """No dataset has this name."""

    title = "No such dataset"


class Catalogue(Mapping[str, Dataset]):
    """Datasets by name, the default one first.

    Args:
        datasets: the default one first.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = {dataset.name: dataset for dataset in datasets}
        self.default = datasets[0].name if datasets else None

    def __getitem__(self, name: str) -> Dataset:
        return self._datasets[name]

    def __iter__(self) -> Iterable[str]:  # type: ignore[override]
        return iter(self._datasets)

    def __len__(self) -> int:
        return len(self._datasets)

    def named(self, name: str) -> Dataset:
        """The dataset of this name.

        Raises:
            InvalidParameterError: it is a path.
            UnknownDatasetError: there is none; says which there are.
        """
        if name in self._datasets:
            return self._datasets[name]
        if "/" in name or "\\" in name or name in {".", ".."}:
            raise InvalidParameterError(
                f"dataset: got {shown(name)!r}, takes the name of a dataset, not a path; "
                f"{self._known()}"
            )
        raise UnknownDatasetError(f"no dataset {shown(name)!r}; {self._known()}")

    def _known(self) -> str:
        names = list(self._datasets)
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        return f"there are {', '.join(names[:20])}{more}" if names else "there are none"


def find_datasets(
    data_dir: Path,
    *,
    first: Sequence[tuple[Path, SeriesOptions | None]] = (),
    more_folders: Sequence[Path] = (),
) -> Catalogue:
    """Every file that can be played, and the entries of catalogues that could be fetched.

    The synthetic recording is among them, though it may still have to be made.

    Args:
        data_dir: its recordings, those of its folders, and its `catalog.toml`.
        first: files that come before them, the default one first, with what was told of them;
            None: what the catalogue says.
        more_folders: whose recordings come after those of the data directory.

    Raises:
        SettingsError: `catalog.toml` has the wrong form.
    """
    entries = read_entries(data_dir)
    told = {_key(path): options for path, options in first}
    folders = (data_dir, *more_folders)
    there = {_key(path): path for folder in folders for path in recordings_in(folder)}
    paths = [path for path, _ in first]
    there.setdefault(_key(synthetic_path()), synthetic_path())
    paths += [path for key, path in there.items() if key not in told]
    found = []
    for path, name in zip(paths, _names(paths), strict=True):
        options = told.get(_key(path))
        found.append(_dataset(path, name, entries.get(name), options))
    names = {dataset.name for dataset in found}
    listed = [_listed(entry) for name, entry in entries.items() if name not in names]
    return Catalogue([*found, *listed])


def recordings_in(data_dir: Path) -> list[Path]:
    """Files of a directory and of its folders that may be recordings, in order of name."""
    found = [
        path
        for pattern in ("*", "*/*")
        for path in data_dir.glob(pattern)
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(data_dir).parts)
        and not path.is_dir()
    ]
    return sorted(found)[:_MAX_FILES]


def told_before(options: SeriesOptions, told: SeriesOptions) -> SeriesOptions:
    """The options with what was told, where that is another than when nothing is."""
    return replace(
        options,
        **{
            option.name: value
            for option in fields(SeriesOptions)
            if (value := getattr(told, option.name)) != option.default
        },
    )


def _dataset(path: Path, name: str, entry: Entry | None, told: SeriesOptions | None) -> Dataset:
    entry = entry or Entry(name)
    try:
        beside = read_sidecar(path)
        if beside is not None:
            entry = _completed(entry, beside)
        options = entry.series_options()
    except SettingsError as error:
        return Dataset(name, path, entry, problem=without_folders(str(error), path))
    return Dataset(name, path, entry, told_before(options, told or SEARCH))


def _completed(entry: Entry, beside: Entry) -> Entry:
    """An entry with what a file beside the recording says where the entry says nothing."""
    missing = {
        each.name: getattr(beside, each.name)
        for each in fields(Entry)
        if each.name not in ("name", "source", "options") and not getattr(entry, each.name)
    }
    return replace(entry, options={**beside.options, **entry.options}, **missing)


def _listed(entry: Entry) -> Dataset:
    try:
        return Dataset(entry.name, None, entry, entry.series_options())
    except SettingsError as error:
        return Dataset(entry.name, None, entry, problem=str(error))


def _names(paths: Sequence[Path]) -> list[str]:
    """The stem of each; FOLDER~STEM where several have it, and a number if that is too little."""
    by_stem: defaultdict[str, int] = defaultdict(int)
    for path in paths:
        by_stem[path.stem] += 1
    names: list[str] = []
    for path in paths:
        name = path.stem
        if by_stem[name] > 1:
            name = f"{path.absolute().parent.name}~{name}"
        number, unique = 1, name
        while unique in names:
            number += 1
            unique = f"{name}~{number}"
        names.append(unique)
    return names


def _key(path: Path) -> Path:
    return path.absolute()
