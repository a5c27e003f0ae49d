"""A worker knows by their digests the datasets that it could play, open or not."""

import hashlib

import pytest
import trio

from phantomlink.cluster.known_datasets import KnownDatasets
from phantomlink.recordings.catalogue.datasets import Catalogue, Dataset
from phantomlink.recordings.catalogue.entries import Entry
from phantomlink.recordings.digest_cache import DigestCache
from phantomlink.recordings.identity import FileIdentity


async def a_while():
    await trio.sleep(0.01)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


class FakeOpened:
    def __init__(self, sha256):
        self.sha256 = sha256


class FakeDatasets:
    def __init__(self, datasets):
        self.catalogue = Catalogue(datasets)
        self.opened = {}

    def digests(self):
        return {each.sha256 for each in self.opened.values()}

    def opened_now(self, name):
        return self.opened.get(name)


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.nwb").write_text(name)
    return tmp_path


@pytest.fixture
async def known(folder, nursery):
    datasets = FakeDatasets(
        [
            Dataset("one", folder / "one.nwb", Entry("one")),
            Dataset("two", folder / "two.nwb", Entry("two")),
            Dataset("listed", None, Entry("listed")),
            Dataset("gone", folder / "gone.nwb", Entry("gone")),
            Dataset("wrong", folder / "two.nwb", Entry("wrong"), problem="its description"),
        ]
    )
    known = KnownDatasets(datasets, DigestCache(folder / "cache"))
    known.datasets = datasets
    nursery.start_soon(known.run)
    with trio.fail_after(60):
        while len(known.digests()) < 2:
            await a_while()
    yield known
    nursery.cancel_scope.cancel()


async def test_what_nobody_has_opened_is_known(known, folder):
    assert known.digests() == {digest("one"), digest("two")}
    assert known.name_of(digest("two"), "elsewhere") == "two"
    assert known.name_of(digest("two"), "two") == "two"
    assert known.name_of(digest("three"), "three") == "three"
    identity = FileIdentity.of(folder / "one.nwb")
    assert known.sha256_as("one", identity) == digest("one")
    assert known.sha256_as("one", FileIdentity.of(folder / "two.nwb")) is None
    assert known.sha256_as("listed", identity) is None


async def test_what_is_open_is_believed_first(known):
    known.datasets.opened["one"] = FakeOpened("as it was opened")
    assert "as it was opened" in known.digests()
    assert known.name_of("as it was opened", "x") == "one"
    assert known.name_of(digest("one"), "x") == "x"


async def test_what_comes_and_goes_is_seen_with_the_next_catalogue(known, folder):
    (folder / "three.nwb").write_text("three")
    known.datasets.catalogue = Catalogue([Dataset("three", folder / "three.nwb", Entry("three"))])
    with trio.fail_after(60):
        while known.digests() != {digest("three")}:
            await a_while()
