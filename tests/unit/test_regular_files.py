"""Whatever is not a regular file is refused in one line, wherever a file is named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.journal_writer import is_being_written
from phantomlink.decoding import ModelError, load_model
from phantomlink.errors import CaptureError, InvalidParameterError, RecordingError, SettingsError
from phantomlink.files.regular import (
    NotRegularError,
    TooLargeError,
    check_regular,
    open_regular,
    read_regular,
)
from phantomlink.files.shown import cut, shown, without_folders
from phantomlink.outputs.capture.infos import read_info
from phantomlink.perturbation.presets import load_perturbation
from phantomlink.recordings.identity import sha256_of
from phantomlink.recordings.index_cache import Source, open_cached
from phantomlink.recordings.recording import open_recording
from phantomlink.settings.load import read_token_file
from phantomlink.state.file import read_state
from phantomlink.state.form import RecordingIdentity


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def link_to_a_fifo(path: Path) -> Path:
    path.symlink_to(fifo(path.with_name("behind")))
    return path


def a_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


KINDS = [fifo, link_to_a_fifo, device, a_socket]


@pytest.fixture(params=KINDS, ids=[kind.__name__ for kind in KINDS])
def odd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # The path of a socket may have 107 bytes.
    monkeypatch.chdir(tmp_path)
    return Path(request.param(Path("odd.nwb")))


def test_none_is_opened(odd: Path) -> None:
    for read in (check_regular, open_regular, lambda path: read_regular(path, 10)):
        # To open a socket is refused by the system itself.
        with pytest.raises(OSError, match=r"not a regular file|No such device"):
            read(odd)


def test_a_recording(odd: Path) -> None:
    with pytest.raises(RecordingError, match=r"odd.nwb: (is a .*, not a regular file|cannot be)"):
        open_recording(odd)
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        sha256_of(odd)


def test_a_token_file(odd: Path) -> None:
    with pytest.raises(SettingsError, match=r"token file odd.nwb: (is a|No such device)"):
        read_token_file(odd)


def test_a_state_file(odd: Path) -> None:
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        read_state(odd, RecordingIdentity("d", 1, 2))


def test_a_file_of_a_perturbation(odd: Path) -> None:
    with pytest.raises(InvalidParameterError, match=r"odd.nwb: cannot be read"):
        load_perturbation(odd)


def test_an_index_of_spikes(odd: Path) -> None:
    assert open_cached(odd, Source("p", 1, 2, "a", "b")) is None


def test_a_model(odd: Path) -> None:
    with pytest.raises(ModelError, match=r"odd.nwb: cannot be read: (is a|No such device)"):
        load_model(odd)


def test_a_journal(odd: Path) -> None:
    with pytest.raises(CaptureError, match=r"odd.nwb: not a journal"):
        Journal(odd)
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        is_being_written(odd)


def test_what_is_known_of_a_capture(odd: Path) -> None:
    odd.rename(odd.with_suffix(".json"))
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        read_info(odd)


def test_a_regular_file_is_read_up_to_so_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 100)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_regular(link, 100) == b"x" * 100
    with pytest.raises(TooLargeError, match=r"f: has 100 bytes; at most 99 are read"):
        read_regular(path, 99)
    with pytest.raises(NotRegularError, match="is a directory, not a regular file"):
        read_regular(tmp_path, 10)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "nothing", 10)


def test_clients_are_told_names_of_files_not_their_folders() -> None:
    path, told = Path("/srv/lab data/a.nwb"), Path("data/b.nwb")
    said = "/srv/lab data/a.nwb: no such file; /srv/lab data/a.dataset.toml: not TOML"
    assert without_folders(said, path) == "a.nwb: no such file; a.dataset.toml: not TOML"
    assert without_folders("[Errno 5] broken: '/srv/lab data/a.nwb'", path) == (
        "[Errno 5] broken: 'a.nwb'"
    )
    said = f"data/b.nwb: {told.absolute()}: /processing/data/b.nwb/x, /data/b"
    assert without_folders(said, told) == "b.nwb: b.nwb: /processing/data/b.nwb/x, /data/b"
    assert without_folders("a.nwb: /a/b", Path("/a.nwb")) == "a.nwb: /a/b"


def test_text_of_strangers_is_shown_on_one_line() -> None:
    odd = "a\x1b[31mred\n\u202eback\ud800\x7f é中"
    assert shown(odd) == r"a\x1b[31mred\n\u202eback\ud800\x7f é中"
    assert shown("x" * 400) == "x" * 300 + "... (400 characters)"
    assert cut("line\nline", 4) == "line... (9 characters)"
    assert cut("line\nline") == "line\nline"
