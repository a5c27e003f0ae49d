"""Fetching: against an archive that redirects, breaks off, changes, and lies."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from phantomlink.recordings.catalogue.entries import DandiSource, Entry, UrlSource
from phantomlink.recordings.fetch import download as download_module
from phantomlink.recordings.fetch.command import run_fetch
from phantomlink.recordings.fetch.dandi import remote_of
from phantomlink.recordings.fetch.download import BLOCK_BYTES, Download
from phantomlink.recordings.fetch.errors import FetchConflictError, FetchError, NoRoomError
from phantomlink.recordings.fetch.http import check_address, new_session
from tests.archive import PATH, Archive, running
from tests.full_disk import files_of_at_most
from tests.waiting import until

CONTENT = bytes(range(256)) * 8192  # 2 MiB
SOURCE = DandiSource("1", "2", PATH)


class Sleeps:
    """Notes the pauses between tries and takes none."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def fetched(archive: Archive, folder: Path, entry: Entry | None = None) -> Sleeps:
    sleeps = Sleeps()
    entry = entry or Entry("x", SOURCE)
    with new_session() as session:
        download = Download(folder / "x.nwb", session, sleep=sleeps)
        download.run(lambda: remote_of(session, entry, f"{archive.url}/api"))
    return sleeps


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sent(archive: Archive) -> int:
    return sum(size for _, size in archive.asked)


def test_a_file_comes_whole_through_a_redirect(tmp_path):
    with running(Archive(CONTENT)) as archive:
        assert fetched(archive, tmp_path / "new").seconds == []
    assert (tmp_path / "new/x.nwb").read_bytes() == CONTENT
    assert names(tmp_path / "new") == ["x.nwb"]


def test_one_that_breaks_off_twice_goes_on_and_no_byte_comes_twice(tmp_path):
    with running(Archive(CONTENT, break_at=[600_000, 700_000])) as archive:
        fetched(archive, tmp_path)
        # What had come of a block when it broke off comes once more, and no other byte.
        assert sent(archive) <= len(CONTENT) + 2 * BLOCK_BYTES
        first, second, third = (start for start, _ in archive.asked)
        assert first == 0
        assert 600_000 - BLOCK_BYTES < second <= 600_000
        assert second + 700_000 - BLOCK_BYTES < third <= second + 700_000
    assert (tmp_path / "x.nwb").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(tmp_path):
    with running(Archive(CONTENT, break_at=[600_000], ignores_range=True)) as archive:
        fetched(archive, tmp_path)
    assert (tmp_path / "x.nwb").read_bytes() == CONTENT


def test_a_file_that_changes_between_two_tries_is_read_from_the_beginning(tmp_path):
    with running(Archive(CONTENT, break_at=[600_000], etags=['"old"', '"new"'])) as archive:
        fetched(archive, tmp_path)
        assert archive.asked == [(0, 600_000), (0, len(CONTENT))]
    assert (tmp_path / "x.nwb").read_bytes() == CONTENT


def test_busy_answers_are_waited_for_and_others_are_not(tmp_path):
    with running(Archive(CONTENT, statuses=[429, 500, 503])) as archive:
        assert fetched(archive, tmp_path).seconds == [0.0, 0.0, 0.0]
    with running(Archive(CONTENT, statuses=[404])) as archive:
        with pytest.raises(FetchError, match="answers 404 Not Found to /blob"):
            fetched(archive, tmp_path / "other")
        assert names(tmp_path / "other") == []


def test_five_tries_with_growing_pauses(tmp_path):
    with running(Archive(CONTENT, break_at=[0] * 5)) as archive:
        sleeps = Sleeps()
        with new_session() as session:
            download = Download(tmp_path / "x.nwb", session, sleep=sleeps)
            with pytest.raises(FetchError, match=r"after 5 tries; nothing has come yet; the same"):
                download.run(lambda: remote_of(session, Entry("x", SOURCE), f"{archive.url}/api"))
    assert sleeps.seconds == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("archive", "entry", "match"),
    [
        (Archive(CONTENT, told_sha256="0" * 64), None, "has SHA-256 .*, 0{64} is wanted"),
        (Archive(CONTENT), Entry("x", SOURCE, sha256="1" * 64), "the catalogue 1{64}"),
        (Archive(CONTENT, told_size=len(CONTENT) - 1), None, "has more than the 2097151 bytes"),
        (Archive(CONTENT, told_size=len(CONTENT) + 1), None, "fewer than the 2097153 bytes"),
        (Archive(CONTENT, length_added=7, told_size=len(CONTENT) + 7), None, "fewer than"),
        (Archive(CONTENT), Entry("x", DandiSource("1", "2", "other")), "has 0 assets at other"),
        (Archive(CONTENT), Entry("x"), "does not say where its file is"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_there(tmp_path, archive, entry, match):
    with running(archive), pytest.raises(FetchError, match=match):
        fetched(archive, tmp_path, entry)
    assert names(tmp_path) == []


def test_a_url_of_the_catalogue(tmp_path):
    with running(Archive(CONTENT)) as archive:
        entry = Entry("x", UrlSource(f"{archive.url}/blob"), sha256=archive.sha256)
        fetched(archive, tmp_path, entry)
    assert (tmp_path / "x.nwb").read_bytes() == CONTENT


@pytest.mark.parametrize("url", ["http://example.org/x", "ftp://x", "file:///etc/passwd", "https:"])
def test_only_https(url):
    with pytest.raises(FetchError, match="takes an https address"):
        check_address(url)


def test_what_is_there_and_what_is_under_way(tmp_path):
    with running(Archive(CONTENT)) as archive:
        with new_session() as session:
            busy = Download(tmp_path / "x.nwb", session)
            with busy._lock(), pytest.raises(FetchConflictError, match="is being fetched"):
                fetched(archive, tmp_path)
        (tmp_path / "x.nwb").write_text("mine")
        with pytest.raises(FetchConflictError, match="is there already"):
            fetched(archive, tmp_path)
    assert (tmp_path / "x.nwb").read_text() == "mine"


def test_a_part_of_another_file_is_thrown_away(tmp_path):
    (tmp_path / ".x.nwb.part").write_bytes(b"other" * 1000)
    (tmp_path / ".x.nwb.part.json").write_text(
        json.dumps({"sha256": "2" * 64, "etag": '"one"', "size": 10_000})
    )
    with running(Archive(CONTENT)) as archive:
        fetched(archive, tmp_path)
        assert archive.asked == [(0, len(CONTENT))]


def test_no_room_is_said_before_anything_comes(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage)
    with running(Archive(CONTENT)) as archive:
        with pytest.raises(NoRoomError, match=r"2.2 MB are needed, 0.0 MB are free"):
            fetched(archive, tmp_path)
        assert not (tmp_path / ".x.nwb.part").exists()


@pytest.fixture
def archive_and_catalogue(tmp_path, monkeypatch):
    with running(Archive(CONTENT)) as archive:
        (tmp_path / "catalog.toml").write_text(
            f'[datasets.x]\nsource = {{ dandiset = "1", version = "2", path = "{PATH}" }}\n'
            'license = "CC0"\n'
        )
        monkeypatch.setenv("PHANTOM_DANDI_API", f"{archive.url}/api")
        yield archive


def test_the_command(tmp_path, archive_and_catalogue, capsys):
    assert run_fetch("x", tmp_path) == 0
    said = capsys.readouterr().err
    assert "x.nwb: fetched, its SHA-256 is right" in said
    assert "license: CC0" in said
    assert "cite: DANDI:1/2" in said
    assert run_fetch("x", tmp_path) == 2
    assert "is there already" in capsys.readouterr().err
    assert run_fetch("y", tmp_path) == 2
    assert "'y' is not in the catalogue; it has mc_maze_small" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1: refuses connections, after 1 tries"),
        # The system does not even try to connect to all machines at once.
        ("https://255.255.255.255", "255.255.255.255: "),
    ],
)
def test_no_route_is_one_line(tmp_path, capsys, monkeypatch, address, said):
    (tmp_path / "catalog.toml").write_text(
        f'[datasets.x]\nsource = {{ dandiset = "1", version = "2", path = "{PATH}" }}\n'
    )
    monkeypatch.setenv("PHANTOM_DANDI_API", f"{address}/api")
    monkeypatch.setattr(download_module, "TRIES", 1)
    assert run_fetch("x", tmp_path) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"phantomlink: {said}")
    assert captured.err.count("\n") == 1
    assert names(tmp_path) == ["catalog.toml"]


@pytest.mark.parametrize(
    ("free", "told_sha256", "said"),
    [
        (None, "0" * 64, "has SHA-256"),
        (1000, None, "2.2 MB are needed, 0.0 MB are free"),
    ],
)
def test_a_wrong_checksum_and_a_full_disk_are_one_line_and_leave_nothing(
    tmp_path, archive_and_catalogue, capsys, monkeypatch, free, told_sha256, said
):
    archive_and_catalogue.told_sha256 = told_sha256
    if free is not None:
        usage = shutil.disk_usage(tmp_path)._replace(free=free)
        monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: usage)
    assert run_fetch("x", tmp_path) == 2
    captured = capsys.readouterr()
    assert (captured.out, said in captured.err) == ("", True), captured.err
    lines = captured.err.rstrip("\n").splitlines()
    assert [line.startswith("phantomlink: ") for line in lines] == [True], lines
    assert names(tmp_path) == ["catalog.toml"]


def fetch_command(folder: Path) -> list[str]:
    return [sys.executable, "-m", "phantomlink", "fetch", "x", "--data-dir", str(folder)]


def one_line_of(command: list[str]) -> str:
    """What a command says that fails in one line."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("phantomlink: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_killed_ten_times_at_random_it_asks_for_nothing_that_it_has(
    tmp_path, archive_and_catalogue
):
    archive = archive_and_catalogue
    draw = random.Random(0)
    places = sorted(draw.sample(range(1, len(CONTENT)), 10))
    archive.stall_at = [*places]
    part = tmp_path / ".x.nwb.part"
    begins = [0]
    for number, place in enumerate(places):
        with subprocess.Popen(fetch_command(tmp_path), stderr=subprocess.DEVNULL) as process:
            assert archive.stalled.get(timeout=60) == place
            # Every second one is killed while it writes, the others when they wait for more.
            if number % 2:
                until(lambda place=place: size_of(part) > place - BLOCK_BYTES)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        size = size_of(part)
        if number % 2:
            assert place - BLOCK_BYTES < size <= place
        if size:
            assert part.read_bytes() == CONTENT[:size]
        begins.append(size)
    subprocess.run(fetch_command(tmp_path), capture_output=True, check=True)
    assert [first for first, _ in archive.asked] == begins
    assert (tmp_path / "x.nwb").read_bytes() == CONTENT
    assert names(tmp_path) == ["catalog.toml", "x.nwb"]


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_disk_that_fills_up_in_the_middle_keeps_what_has_come(tmp_path, archive_and_catalogue):
    room = 2**20 + 1234
    with files_of_at_most(room):
        said = one_line_of(fetch_command(tmp_path))
    assert ".x.nwb.part: cannot be written: File too large; 1.0 MB are kept; the same" in said
    assert names(tmp_path) == [".x.nwb.part", ".x.nwb.part.json", "catalog.toml"]
    subprocess.run(fetch_command(tmp_path), capture_output=True, check=True)
    assert [first for first, _ in archive_and_catalogue.asked] == [0, room]
    assert (tmp_path / "x.nwb").read_bytes() == CONTENT
    assert names(tmp_path) == ["catalog.toml", "x.nwb"]


def test_a_disk_without_room_for_what_it_keeps_says_so(tmp_path, archive_and_catalogue):
    with files_of_at_most(10):
        said = one_line_of(fetch_command(tmp_path))
    assert "File too large" in said
    assert names(tmp_path) == ["catalog.toml"]


def test_a_catalogue_with_a_mistake_is_said(tmp_path, capsys):
    (tmp_path / "catalog.toml").write_text('[datasets.x]\ntitel = "y"\n')
    assert run_fetch("x", tmp_path) == 2
    assert "catalog.toml: dataset x: titel: not known; title?" in capsys.readouterr().err
