"""The catalogue: names, entries, descriptions, cards, and facts that are kept."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import mlcroissant
import numpy as np
import pytest

from phantomlink.errors import InvalidParameterError, RecordingError, SettingsError
from phantomlink.recordings.catalogue import readers as readers_module
from phantomlink.recordings.catalogue.card import card_of, croissant
from phantomlink.recordings.catalogue.command import run_datasets
from phantomlink.recordings.catalogue.datasets import UnknownDatasetError, find_datasets
from phantomlink.recordings.catalogue.entries import (
    DandiSource,
    UrlSource,
    is_name,
    read_entries,
    shipped_entries,
)
from phantomlink.recordings.catalogue.facts import FactsCache, facts_of
from phantomlink.recordings.catalogue.readers import Readers, describe
from phantomlink.recordings.options import SEARCH, SeriesOptions
from phantomlink.recordings.recording import open_recording, read_recording
from tests.nwb_files import SeriesSpec, moving, write_nwb
from tests.waiting import until

T = [i / 100 for i in range(300)]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_the_shipped_entries_can_be_fetched():
    entries = shipped_entries()
    assert list(entries) == [
        "mc_maze_small",
        "mc_maze_medium",
        "mc_maze_large",
        "mc_maze_full",
        "mc_rtt",
        "area2_bump",
    ]
    for entry in entries.values():
        assert isinstance(entry.source, DandiSource)
        assert entry.source.path.endswith("desc-train_behavior+ecephys.nwb")
        assert entry.title
        assert is_name(entry.name)
    assert entries["mc_maze_small"].sha256.startswith("dcaf3a52")


def test_a_catalogue_file_overrides_key_by_key(data):
    (data / "catalog.toml").write_text(
        '[datasets.mc_maze_small]\ntitle = "Ours"\nposition_series = "hand_pos"\n'
        f'[datasets.more]\nsource = {{ url = "https://x.example/a.nwb" }}\nsha256 = "{"a" * 64}"\n'
        "behaviour_offset_seconds = -1.5\n"
    )
    entries = read_entries(data)
    small = entries["mc_maze_small"]
    assert (small.title, small.sha256[:4]) == ("Ours", "dcaf")
    assert small.series_options() == SeriesOptions(position_series="hand_pos")
    assert entries["more"].source == UrlSource("https://x.example/a.nwb")
    assert entries["more"].series_options().behaviour_offset_seconds == -1.5


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[datasets.x]\nposition_serie = 'a'", "dataset x: position_serie: not known; position_"),
        ("[datasets.x]\nsha256 = 'zz'", "sha256: got 'zz', takes 64 hexadecimal digits"),
        ("[datasets.x]\nsource = { url = 'https://a' }", "a source with a url needs sha256"),
        ("[datasets.x]\nsource = 'https://a'", "takes { dandiset, version, path } or { url }"),
        ("[datasets.x]\ntitle = 5", "title: got 5, takes a text"),
        ("[datasets.'../x']\n", "dataset '../x': takes 1 to 64 letters"),
        ("[datasets.'.x']\n", "without a dot at the beginning"),
        ("[dataset.x]\n", "dataset: not known; takes tables"),
        ("datasets = 3", "takes tables"),
        ("not toml", "not TOML"),
    ],
)
def test_mistakes_in_a_catalogue_are_named(data, text, match):
    (data / "catalog.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_entries(data)
    assert match in str(caught.value)
    assert "catalog.toml" in str(caught.value)


def test_names_of_files(data, tmp_path):
    for place in ("a.nwb", "b.h5", "sub/a.nwb", "sub/c.nwb", ".hidden.nwb", "sub/deep/d.nwb"):
        (data / place).parent.mkdir(parents=True, exist_ok=True)
        (data / place).touch()
    told = tmp_path / "elsewhere/c.nwb"
    told.parent.mkdir()
    told.touch()
    found = find_datasets(data, first=[(told, SEARCH), (data / "a.nwb", SEARCH)])
    names = [name for name, dataset in found.items() if dataset.path is not None]
    assert names == ["elsewhere~c", "data~a", "b", "sub~a", "sub~c", "synthetic-v1"]
    assert found.default == "elsewhere~c"
    assert found["mc_rtt"].path is None
    assert found.named("b").path == data / "b.h5"
    with pytest.raises(UnknownDatasetError, match="no dataset 'x'; there are elsewhere~c, data~a"):
        found.named("x")
    for path in ("../a", "/etc/passwd", "a\\b", ".."):
        with pytest.raises(InvalidParameterError, match="takes the name of a dataset, not a path"):
            found.named(path)


def test_what_a_file_beside_says_and_what_was_told_goes_before(data):
    (data / "a.nwb").touch()
    (data / "b.nwb").touch()
    (data / "a.dataset.toml").write_text('title = "Beside"\nunits_table = "x"\nlicense = "CC0"\n')
    (data / "b.dataset.toml").write_text("titel = 3")
    (data / "catalog.toml").write_text('[datasets.a]\ntitle = "Ours"\ntarget_column = "t"\n')
    found = find_datasets(data)
    assert (found["a"].entry.title, found["a"].entry.license) == ("Ours", "CC0")
    assert found["a"].options == SeriesOptions(units_table="x", target_column="t")
    assert "titel: not known; title?" in found["b"].problem
    told = SeriesOptions(units_table="y")
    found = find_datasets(data, first=[(data / "a.nwb", told)])
    assert found["a"].options == SeriesOptions(units_table="y", target_column="t")


def recording(path):
    return write_nwb(
        path,
        spikes=[[0.1, 0.2], [1.0]],
        series=[SeriesSpec("cursor_pos", moving(T), T)],
        trials={"start_time": [0.0], "stop_time": [1.0], "target_id": [3]},
    )


def test_a_card_says_null_for_what_is_not_known(data):
    path = recording(data / "a.nwb")
    found = find_datasets(data)
    card = card_of(found["a"], None, state="available", size=5)
    assert card["phantomlink"]["num_channels"] is None
    assert card["license"] is None
    with open_recording(path) as opened:
        card = card_of(found["a"], facts_of(opened), state="open", size=5, sha256="f" * 64)
    json.dumps(card, allow_nan=False)
    ours = card["phantomlink"]
    assert (ours["num_channels"], ours["num_trials"], ours["target_ids"]) == (2, 1, [3])
    assert ours["behaviour"]["position"] == {
        "path": "processing/behavior/cursor_pos",
        "unit": "mm",
    }
    assert card["digest"] == {"dandi:sha2-256": "f" * 64}
    assert ours["units"] == {"count": 2, "by_location": {}}


@pytest.mark.filterwarnings("ignore")
def test_croissant_takes_our_cards(data, tmp_path):
    found = find_datasets(data)
    card = card_of(found["mc_maze_small"], None, state="listed", size=7)
    card["license"] = "https://creativecommons.org/licenses/by/4.0/"
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(croissant(card)))
    read = mlcroissant.Dataset(jsonld=path)
    assert read.metadata.name == "mc_maze_small"
    (file,) = read.metadata.distribution
    assert file.sha256.startswith("dcaf3a52")


@pytest.fixture
def readers():
    with closing(Readers()) as readers:
        yield readers


def refuse_to_read(*_):
    raise AssertionError("opened again")


def test_a_file_is_opened_in_a_child_once_and_its_facts_are_kept(data, readers, monkeypatch):
    path = recording(data / "a.nwb")
    cache = FactsCache()
    facts = describe(path, SEARCH, cache, readers)
    assert facts["num_spikes"] == 3
    monkeypatch.setattr(readers, "read", refuse_to_read)
    assert describe(path, SEARCH, cache, readers) == facts
    os.utime(path, (1, 1))
    with pytest.raises(AssertionError, match="opened again"):
        describe(path, SEARCH, cache, readers)
    with pytest.raises(AssertionError, match="opened again"):
        describe(path, SeriesOptions(units_table="units"), cache, readers)


def test_what_a_child_has_read_is_what_is_read_here(data, readers):
    path = recording(data / "a.nwb")
    contents = readers.read(path, SEARCH).contents
    assert readers.has_idle
    given = read_recording(path, contents, SEARCH, "a")
    with open_recording(path) as here:
        assert (given.unit_ids, given.missing) == (here.unit_ids, here.missing)
        assert given.identity == here.identity
        assert [t.as_json() for t in given.trials] == [t.as_json() for t in here.trials]
        for rate_hz in (Fraction(40), Fraction(50)):
            blocks = []
            for each in (given, here):
                bins = each.at_rate(rate_hz)
                blocks.append(bins.read(0, bins.grid.n_bins))
            for name in ("counts", "kinematics", "trial_rows"):
                ours, theirs = (getattr(block, name) for block in blocks)
                assert np.array_equal(ours, theirs, equal_nan=True)
    given.check()
    given.close()


def test_bins_that_a_child_has_counted_are_not_counted_again(data, readers):
    path = recording(data / "a.nwb")
    # Nothing has so many bins a second as the last one says: it costs only itself.
    contents = readers.read(path, SEARCH, [Fraction(40), Fraction(100, 3), Fraction(-1)]).contents
    assert list(contents.blocks) == [Fraction(40), Fraction(100, 3)]
    given = read_recording(path, contents, SEARCH, "a")
    for rate_hz, block in contents.blocks.items():
        bins = given.at_rate(rate_hz)
        assert bins.whole is block
        assert bins.memory_bytes == 0
        assert not block.counts.flags.writeable
        assert np.array_equal(block.counts, open_and_count(path, rate_hz))
    alone = read_recording(path, readers.read(path, SEARCH).contents, SEARCH, "a")
    kept = sum(block.nbytes for block in contents.blocks.values())
    assert given.memory_bytes == alone.memory_bytes + kept
    assert alone.at_rate(Fraction(40)).memory_bytes > 0


def open_and_count(path: Path, rate_hz: Fraction) -> np.ndarray:
    with open_recording(path) as here:
        bins = here.at_rate(rate_hz)
        return bins.read(0, bins.grid.n_bins).counts


def dying(how):
    """A program in place of the reader's."""
    return [sys.executable, "-c", f"import os, signal, time; input(); {how}"]


def test_a_file_that_takes_its_reader_down_is_damaged(data, readers, monkeypatch):
    path = recording(data / "a.nwb")
    crash = dying("os.kill(os.getpid(), signal.SIGSEGV)")
    with monkeypatch.context() as patch:
        patch.setattr(readers_module, "_PROGRAM", crash)
        with pytest.raises(RecordingError, match=r"a.nwb: damaged: opening it .* \(signal 11\)"):
            readers.read(path, SEARCH)
    assert not readers.has_idle
    assert readers.read(path, SEARCH).facts["num_spikes"] == 3


def test_the_real_reader_ends_where_reading_a_file_does(data, readers, monkeypatch):
    path = recording(data / "a.nwb")
    patched = (
        "import os, signal, sys; from phantomlink.recordings.catalogue import reader\n"
        "reader.read_file = lambda *_: os.kill(os.getpid(), signal.SIGBUS)\n"
        "sys.exit(reader.main())"
    )
    monkeypatch.setattr(readers_module, "_PROGRAM", [sys.executable, "-c", patched])
    with pytest.raises(RecordingError, match=rf"\(signal {signal.SIGBUS.value}\)"):
        readers.read(path, SEARCH)


def test_a_reader_that_hangs_is_ended(data, monkeypatch):
    hang = dying("time.sleep(600)")
    monkeypatch.setattr(readers_module, "_PROGRAM", hang)
    path = recording(data / "a.nwb")
    said = r"a.nwb: opening it takes longer than 0.5 s"
    with (
        closing(Readers(child_seconds=0.5)) as readers,
        pytest.raises(RecordingError, match=said),
    ):
        readers.read(path, SEARCH)


def test_a_reader_is_idle_when_it_has_imported_what_it_needs(data, readers, monkeypatch):
    begun = data / "begun"
    slow = (
        f"import pathlib, time; begun = pathlib.Path({str(begun)!r}); begun.touch()\n"
        "while begun.exists(): time.sleep(0.01)\n"
        "from phantomlink.recordings.catalogue.reader import main; main()"
    )
    monkeypatch.setattr(readers_module, "_PROGRAM", [sys.executable, "-c", slow])
    readers.start()
    until(begun.exists)
    assert not readers.has_idle
    # One that is on its way is enough.
    monkeypatch.setattr(readers_module, "_PROGRAM", ["there is no such program"])
    readers.start()
    begun.unlink()
    until(lambda: readers.has_idle)
    for _ in range(2):
        assert readers.read(recording(data / "a.nwb"), SEARCH).facts["num_spikes"] == 3
        assert readers.has_idle


def test_one_reader_reads_one_file_after_the_other_and_its_start_is_told(data):
    started = []
    with closing(Readers(started=started.append)) as readers:
        for n in range(3):
            path = write_nwb(data / f"file-{n}.nwb", spikes=[[0.1] * (n + 1), [0.3]])
            assert readers.read(path, SEARCH).facts["num_spikes"] == n + 2
            (data / "broken.nwb").write_text("nothing")
            with pytest.raises(RecordingError, match=r"broken\.nwb"):
                readers.read(data / "broken.nwb", SEARCH)
    assert len(started) == 1


def test_what_was_read_comes_by_a_pipe_where_there_are_no_such_sockets(data, monkeypatch):
    path = recording(data / "a.nwb")
    monkeypatch.setattr(sys, "platform", "win32")
    with closing(Readers()) as readers:
        for _ in range(2):
            answer = readers.read(path, SEARCH, [Fraction(40)])
            assert answer.contents.spikes.n_spikes == answer.facts["num_spikes"] == 3
            assert readers.has_idle


def test_a_reader_that_had_gone_is_replaced(data, readers, monkeypatch):
    with monkeypatch.context() as patch:
        # It goes when the request comes, as one that has waited long enough.
        patch.setattr(readers_module, "_PROGRAM", dying("pass"))
        readers.start()
    assert readers.read(recording(data / "a.nwb"), SEARCH).facts["num_spikes"] == 3


def test_a_refused_file_says_why(data, readers):
    (data / "a.nwb").write_text("nothing")
    with pytest.raises(RecordingError, match=r"a.nwb: not an HDF5 file"):
        describe(data / "a.nwb", SEARCH, FactsCache(), readers)


def test_the_command_lists_what_there_is(data, capsys):
    recording(data / "a.nwb")
    (data / "broken.nwb").write_text("nothing")
    assert run_datasets(data) == 0
    printed = capsys.readouterr().out
    assert "broken: " in printed
    assert "mc_maze_small" in printed
    assert run_datasets(data, as_json=True) == 0
    cards = {card["phantomlink"]["name"]: card for card in json.loads(capsys.readouterr().out)}
    assert cards["a"]["phantomlink"]["state"] == "available"
    assert cards["a"]["phantomlink"]["num_channels"] == 2
    assert cards["broken"]["phantomlink"]["state"] == "broken"
    assert cards["mc_rtt"]["phantomlink"]["state"] == "listed"
    (data / "catalog.toml").write_text("x = 1")
    assert run_datasets(data) == 2
