"""Recordings that would say more than themselves, and what is no file, by each of the entries."""

import os
import urllib.request

import pytest

from tests.clients import listening
from tests.servers import ALL_ENTRIES, live_server
from tests.unit.test_other_files import (
    SECRET,
    SECRET_TEXT,
    link_to_a_series,
    raw_column,
    secret_file,
)
from tests.unit.test_other_files import recording as write_recording
from tests.waiting import until

PATHS = ("/api/trials", "/api/metadata", "/api/stats/a", "/metrics")


@pytest.mark.parametrize("entry", ALL_ENTRIES)
def test_the_bytes_of_another_file_are_in_no_answer(entry, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    text = tmp_path / "elsewhere/secret.txt"
    text.write_text(SECRET_TEXT)
    series = secret_file(tmp_path / "elsewhere/secret.h5")

    def edit(file):
        raw_column(text)(file)
        link_to_a_series(series)(file)

    recording = write_recording(tmp_path / "here", edit)
    with live_server(recording, entry=entry) as server:
        with listening(f"{server.ws}/stream/a?format=json") as client:
            until(lambda: len(client.packets) > 40, seconds=30)
        said = [repr(client.packets)]
        for path in PATHS:
            with urllib.request.urlopen(server.http + path, timeout=20) as answer:
                said.append(answer.read().decode())
    for each in [*said, server.log]:
        assert SECRET_TEXT not in each
        assert str(SECRET) not in each
    # It is served, and says what it leaves out.
    assert "note" in server.log + said[2]


@pytest.mark.parametrize("entry", ALL_ENTRIES)
@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_file_ends_the_start_with_one_line(entry, kind, tmp_path):
    path = tmp_path / "odd.nwb"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    ended = pytest.raises(AssertionError, match="the server ended while starting")
    with ended as refused, live_server(path, entry=entry):
        pass
    lines = [
        line for line in str(refused.value).splitlines()[1:] if line and "worker-class" not in line
    ]
    assert len(lines) == 1, lines
    assert "odd.nwb" in lines[0]
