"""The dashboard's files: complete, accounted for, small."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest

from phantomlink.errors import NotFoundError
from phantomlink.web.static_files import (
    content_security_policy,
    page,
    static_file,
    static_files,
)

STATIC = Path(__file__).parents[2] / "phantomlink" / "web" / "static"
SHELL_BYTES = 150_000


def test_vendored_files_are_those_of_the_table() -> None:
    vendor = STATIC / "vendor"
    table = json.loads((vendor / "vendor.json").read_text())
    files = {path.name for path in vendor.iterdir()}
    assert files == {*table["files"], "vendor.json", "LICENSES.txt"}
    for name, entry in table["files"].items():
        digest = hashlib.sha256((vendor / name).read_bytes()).hexdigest()
        assert digest == entry["sha256"], f"{name}: run tools/vendor_js.py again"
    licences = (vendor / "LICENSES.txt").read_text()
    for library in table["libraries"]:
        assert f"{library['name']} {library['version']}\n" in licences
        assert library["licence"] in {"MIT", "Apache-2.0"}


def test_every_import_is_a_file_that_is_there() -> None:
    for path in STATIC.rglob("*.js"):
        if path.parent.name == "vendor":
            continue
        text = path.read_text()
        for wanted in re.findall(r"""(?:from|import)\s*\(?["']([^"']+)["']""", text):
            if "${" in wanted or wanted.startswith("phantomlink"):
                continue
            assert wanted.startswith("."), f"{path.name} imports {wanted}"
            assert (path.parent / wanted).resolve().is_file(), f"{path.name} imports {wanted}"


def test_the_client_imports_nothing() -> None:
    text = (STATIC / "phantomlink-client.js").read_text()
    assert not re.search(r"^\s*import\b|\bdocument\b|\bwindow\b", text, re.MULTILINE)


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    shell = page("./").body.decode()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", shell)
    for name, file in static_files().items():
        if name.endswith((".js", ".css")) and not name.startswith("vendor/"):
            text = file.body.decode()
            found = [
                url for url in re.findall(r"https?://[\w.:-]+", text) if "127.0.0.1" not in url
            ]
            assert found == [], name
            assert " style=" not in text, name


def test_the_shell_is_small() -> None:
    zipped = sum(len(file.gzipped) for name, file in static_files().items() if name[-3:] != "txt")
    assert zipped + len(page("./").gzipped) < SHELL_BYTES


def test_files_are_compressed_and_tagged_by_content() -> None:
    file = static_file("core/ring.js")
    assert gzip.decompress(file.gzipped) == file.body
    assert file.etag != static_file("app.js").etag
    assert file.media_type.startswith("text/javascript")
    with pytest.raises(NotFoundError):
        static_file("../shell.html")


def test_the_policy_names_the_host_and_nothing_that_ends_a_directive() -> None:
    assert "connect-src 'self' ws://a:1 wss://a:1;" in content_security_policy("a:1")
    assert "evil" not in content_security_policy("a; script-src evil")
    assert "unsafe" not in content_security_policy("a:1")


def test_modules_are_small() -> None:
    for path in STATIC.rglob("*.js"):
        if path.parent.name != "vendor":
            assert len(path.read_text().splitlines()) <= 400, path.name
