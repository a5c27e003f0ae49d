"""Entries of catalogue files: where a dataset can be fetched, what it is, how it is played."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from phantomlink.errors import SettingsError
from phantomlink.files.regular import read_regular
from phantomlink.recordings.options import SeriesOptions, series_options
from phantomlink.settings import Settings
from phantomlink.settings.load import load_settings

CATALOGUE_FILE = "catalog.toml"
SIDECAR_SUFFIX = ".dataset.toml"
"""A file NAME.dataset.toml beside NAME.nwb describes it, with the keys of an entry."""

_MAX_BYTES = 2**20
_NAME = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}\Z", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_TEXTS = ("title", "license", "citation", "split", "sha256", "description")
_OPTIONS = tuple(option.name for option in fields(SeriesOptions))
_KEYS = ("source", "keywords", *_TEXTS, *_OPTIONS)


@dataclass(frozen=True, slots=True)
class DandiSource:
    """An asset of a published version of a dandiset."""

    dandiset: str
    version: str
    path: str


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file at an address; its SHA-256 must be known."""

    url: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a catalogue file says of a dataset; empty or None where it does not say.

    Attributes:
        name: of the dataset.
        source: where its file can be fetched; None when it cannot.
        sha256: of the file.
        title, description, license, citation, split: texts for people.
        keywords: likewise.
        options: how it is played, as settings spell them, by name.
        may_be_fetched: it stands in a catalogue file, not only beside a recording.
    """

    name: str
    source: DandiSource | UrlSource | None = None
    sha256: str | None = None
    title: str | None = None
    description: str | None = None
    license: str | None = None
    citation: str | None = None
    split: str | None = None
    keywords: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def series_options(self) -> SeriesOptions:
        """How it is played.

        Raises:
            SettingsError: an option has the wrong form.
        """
        return series_options(self.settings())

    def settings(self, flags: Mapping[str, str] | None = None) -> Settings:
        """The options as settings; what `flags` says goes before them."""
        try:
            return load_settings({**self.options, **(flags or {})}, env={})
        except SettingsError as error:
            raise SettingsError(f"dataset {self.name}: {error}") from error


def shipped_entries() -> dict[str, Entry]:
    """The entries that come with the program, by name."""
    text = files(__package__ or "").joinpath(CATALOGUE_FILE).read_text(encoding="utf-8")
    return _entries(_tables(tomllib.loads(text), CATALOGUE_FILE), CATALOGUE_FILE)


def read_entries(data_dir: Path) -> dict[str, Entry]:
    """The shipped entries, with what DATA_DIR/catalog.toml says in place of them, key by key.

    Raises:
        SettingsError: that file cannot be read, or has the wrong form; says where and what.
    """
    path = data_dir / CATALOGUE_FILE
    shipped = tomllib.loads(
        files(__package__ or "").joinpath(CATALOGUE_FILE).read_text(encoding="utf-8")
    )
    merged = dict(_tables(shipped, CATALOGUE_FILE))
    if path.is_file() or path.is_symlink():
        for name, table in _tables(_loaded(path), str(path)).items():
            merged[name] = {**merged.get(name, {}), **table}
    return _entries(merged, str(path))


def read_sidecar(recording: Path) -> Entry | None:
    """What the file beside a recording says of it; None where there is none.

    Raises:
        SettingsError: it has the wrong form.
    """
    path = recording.with_name(recording.stem + SIDECAR_SUFFIX)
    if not path.exists():
        return None
    return _entry(recording.stem, _loaded(path), str(path))


def is_name(text: str) -> bool:
    """Whether a dataset may be called so: letters, digits, . _ ~ -, at most 64, no dot first."""
    return _NAME.match(text) is not None


def _loaded(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_regular(path, _MAX_BYTES).decode("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not TOML ({error})") from error


def _tables(content: Mapping[str, Any], where: str) -> Mapping[str, dict[str, Any]]:
    for key in content:
        if key != "datasets":
            raise SettingsError(f"{where}: {key}: not known; takes tables [datasets.NAME]")
    tables = content.get("datasets", {})
    if not isinstance(tables, dict) or not all(isinstance(t, dict) for t in tables.values()):
        raise SettingsError(f"{where}: datasets: takes tables [datasets.NAME]")
    return tables


def _entries(tables: Mapping[str, dict[str, Any]], where: str) -> dict[str, Entry]:
    for name in tables:
        if not is_name(name):
            raise SettingsError(
                f"{where}: dataset {name!r}: takes 1 to 64 letters, digits, '.', '_', '~' or '-', "
                "without a dot at the beginning"
            )
    return {name: _entry(name, table, where) for name, table in tables.items()}


def _entry(name: str, table: Mapping[str, Any], where: str) -> Entry:
    place = f"{where}: dataset {name}"
    for key in table:
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"; {near[0]}?" if near else ""
            raise SettingsError(f"{place}: {key}: not known{hint}")
    texts = {key: _text(table[key], f"{place}: {key}") for key in _TEXTS if key in table}
    sha256 = texts.get("sha256")
    if sha256 is not None and not _SHA256.match(sha256):
        raise SettingsError(f"{place}: sha256: got {sha256!r}, takes 64 hexadecimal digits")
    keywords = table.get("keywords", [])
    if not isinstance(keywords, list) or not all(isinstance(word, str) for word in keywords):
        raise SettingsError(f"{place}: keywords: takes a list of texts")
    source = _source(table["source"], place) if "source" in table else None
    if isinstance(source, UrlSource) and sha256 is None:
        raise SettingsError(f"{place}: a source with a url needs sha256")
    options = {key: str(table[key]) for key in _OPTIONS if key in table}
    return Entry(name, source, keywords=tuple(keywords), options=options, **texts)


def _source(value: object, place: str) -> DandiSource | UrlSource:
    if isinstance(value, dict) and all(isinstance(part, str) for part in value.values()):
        if set(value) == {"url"}:
            return UrlSource(value["url"])
        if set(value) == {"dandiset", "version", "path"}:
            return DandiSource(**value)
    raise SettingsError(
        f"{place}: source: got {value!r}, takes {{ dandiset, version, path }} or {{ url }}"
    )


def _text(value: object, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"{place}: got {value!r}, takes a text")
    return value.strip()
