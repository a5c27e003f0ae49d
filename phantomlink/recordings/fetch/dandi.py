"""Where an asset of the DANDI archive lies, how large it is, and what its bytes must hash to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from phantomlink.recordings.catalogue.entries import DandiSource, Entry, UrlSource
from phantomlink.recordings.fetch.errors import FetchError, TransientError
from phantomlink.recordings.fetch.http import check_address, opened, reason_of

API = "https://api.dandiarchive.org/api"
_MAX_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class Remote:
    """A file to fetch.

    Attributes:
        url: where every try begins: what it redirects to may expire.
        sha256: of the whole file.
        size: bytes; None when it is not told.
        license, citation: of it; None when not known.
    """

    url: str
    sha256: str
    size: int | None
    license: str | None
    citation: str | None


def remote_of(session: requests.Session, entry: Entry, api: str = API) -> Remote:
    """What to fetch for an entry.

    Raises:
        TransientError: the archive cannot be asked now.
        FetchError: the entry has no source, or the archive's answer does not agree with it.
    """
    if isinstance(entry.source, UrlSource):
        check_address(entry.source.url)
        if entry.sha256 is None:
            raise FetchError(f"{entry.name}: its source has no sha256")
        return Remote(entry.source.url, entry.sha256, None, entry.license, entry.citation)
    if not isinstance(entry.source, DandiSource):
        raise FetchError(f"{entry.name}: the catalogue does not say where its file is")
    return _of_dandi(session, entry, entry.source, api)


def _of_dandi(session: requests.Session, entry: Entry, source: DandiSource, api: str) -> Remote:
    version = f"{api}/dandisets/{source.dandiset}/versions/{source.version}"
    listed = _json(session, f"{version}/assets/?path={quote(source.path)}")
    assets = [
        asset
        for asset in listed.get("results", [])
        if isinstance(asset, dict) and asset.get("path") == source.path
    ]
    if len(assets) != 1 or not isinstance(assets[0].get("asset_id"), str):
        raise FetchError(
            f"{entry.name}: dandiset {source.dandiset} {source.version} has {len(assets)} assets "
            f"at {source.path}, not one"
        )
    asset = _json(session, f"{version}/assets/{quote(assets[0]['asset_id'])}/")
    digest = asset.get("digest") or {}
    told = digest.get("dandi:sha2-256") if isinstance(digest, dict) else None
    if told is None and entry.sha256 is None:
        raise FetchError(f"{entry.name}: neither the archive nor the catalogue has its SHA-256")
    if told is not None and entry.sha256 is not None and told != entry.sha256:
        raise FetchError(
            f"{entry.name}: the archive has SHA-256 {told}, the catalogue {entry.sha256}"
        )
    size = asset.get("contentSize")
    return Remote(
        url=_content_url(asset, f"{api}/assets/{quote(assets[0]['asset_id'])}/download/"),
        sha256=str(told or entry.sha256),
        size=size if isinstance(size, int) and size > 0 else None,
        license=entry.license or _license(asset),
        citation=entry.citation or f"DANDI:{source.dandiset}/{source.version}",
    )


def _content_url(asset: dict[str, Any], usual: str) -> str:
    urls = asset.get("contentUrl")
    given = [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []
    # Of the two that the archive gives, its own redirects to what can be read without a key.
    return next((url for url in given if "/download" in url), given[0] if given else usual)


def _license(asset: dict[str, Any]) -> str | None:
    licenses = asset.get("license")
    words = [licenses] if isinstance(licenses, str) else licenses
    if not isinstance(words, list):
        return None
    return ", ".join(str(word).removeprefix("spdx:") for word in words) or None


def _bounded(answer: requests.Response) -> bytes:
    body = bytearray()
    for block in answer.iter_content(65536):
        body += block
        if len(body) > _MAX_BYTES:
            raise FetchError(f"{answer.url}: answers with more than {_MAX_BYTES} bytes")
    return bytes(body)


def _json(session: requests.Session, url: str) -> dict[str, Any]:
    with opened(session, url, {"Accept": "application/json"}) as answer:
        try:
            said = json.loads(_bounded(answer))
        except requests.RequestException as error:
            raise TransientError(f"{url}: {reason_of(error)}") from error
        except ValueError as error:
            raise FetchError(f"{url}: does not answer with JSON") from error
    if not isinstance(said, dict):
        raise FetchError(f"{url}: answers with something else than an object")
    return said
