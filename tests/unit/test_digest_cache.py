"""Digests of files are known without reading them again, as long as they are the same."""

import hashlib
import os

import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings import digest_cache
from phantomlink.recordings.digest_cache import DigestCache
from phantomlink.recordings.identity import FileIdentity


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "some.nwb"
    path.write_bytes(b"what is in it")
    return path


@pytest.fixture
def cache(tmp_path):
    return DigestCache(tmp_path / "cache")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def test_what_was_hashed_is_known_and_not_read_again(file, cache):
    identity = FileIdentity.of(file)
    assert cache.get(file, identity) is None
    assert cache.learn(file, identity) == digest(b"what is in it")
    file.unlink()
    assert cache.get(file, identity) == digest(b"what is in it")
    assert cache.learn(file, identity) == digest(b"what is in it")


def test_another_file_under_the_name_is_not_taken_for_it(file, cache, tmp_path):
    identity = FileIdentity.of(file)
    cache.learn(file, identity)
    other = tmp_path / "other"
    other.write_bytes(b"what is not !")
    os.utime(other, ns=(identity.mtime_ns, identity.mtime_ns))
    other.replace(file)
    now = FileIdentity.of(file)
    assert now.content == identity.content
    assert cache.get(file, now) is None
    assert cache.learn(file, now) == digest(b"what is not !")


def test_a_file_that_changes_while_it_is_read_has_no_digest(file, cache, monkeypatch):
    identity = FileIdentity.of(file)

    def read_while_written(path, **_):
        path.write_bytes(b"longer than it was before")
        return "0"

    monkeypatch.setattr(digest_cache, "sha256_of", read_while_written)
    with pytest.raises(RecordingError, match="has changed"):
        cache.learn(file, identity)
    assert cache.get(file, identity) is None


@pytest.mark.parametrize("kept", [b"", b"[]", b'{"identity": []}', b"\xff", b'{"identity": 1'])
def test_a_damaged_note_is_as_none(file, cache, kept):
    identity = FileIdentity.of(file)
    cache.learn(file, identity)
    (note,) = (file.parent / "cache").iterdir()
    note.write_bytes(kept)
    assert cache.get(file, identity) is None
    assert cache.learn(file, identity) == digest(b"what is in it")


def test_where_nothing_can_be_kept_it_is_hashed_all_the_same(file):
    cache = DigestCache(file / "no folder")
    identity = FileIdentity.of(file)
    assert cache.learn(file, identity) == digest(b"what is in it")
    assert cache.get(file, identity) is None
