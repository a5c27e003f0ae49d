"""One description of a dataset: from its file, from catalogues and from a file beside it.

Names are those of DANDI's assets where these exist; what is ours stands in one block. What is not
known is null, never guessed.
"""

from __future__ import annotations

from typing import Any

from phantomlink.files.shown import cut
from phantomlink.recordings.catalogue.datasets import Dataset
from phantomlink.recordings.catalogue.entries import DandiSource, UrlSource
from phantomlink.recordings.catalogue.facts import Facts

STATES = ("listed", "available", "open", "fetching", "broken")
_ENCODING = "application/x-nwb"


def card_of(
    dataset: Dataset,
    facts: Facts | None,
    *,
    state: str,
    reason: str | None = None,
    size: int | None = None,
    sha256: str | None = None,
    sessions: int = 0,
) -> dict[str, Any]:
    """The card of a dataset, ready for JSON.

    Args:
        dataset: which.
        facts: of its file; None when it was not opened yet.
        state: one of STATES.
        reason: of the state: why it is broken, how far opening or fetching is.
        size: of its file, bytes; None when there is none.
        sha256: of its file; None when it is not known.
        sessions: that play it now.
    """
    entry, info = dataset.entry, {} if facts is None else facts["info"]
    known = sha256 or entry.sha256
    lab = ", ".join(part for part in (info.get("lab"), info.get("institution")) if part)
    return {
        "identifier": info.get("identifier") or None,
        "contentSize": size,
        "contentUrl": _urls(entry.source),
        "digest": {"dandi:sha2-256": known} if known else None,
        "encodingFormat": _ENCODING,
        "species": info.get("species") or None,
        "wasAttributedTo": [{"name": lab}] if lab else None,
        "license": entry.license,
        "keywords": info.get("keywords") or list(entry.keywords) or None,
        "citation": entry.citation,
        "phantomlink": {
            "name": dataset.name,
            "title": entry.title,
            "description": cut(info.get("session_description") or "") or entry.description,
            "state": state,
            "reason": reason,
            **{name: None if facts is None else facts[name] for name in _FACTS},
            "split": entry.split,
            "sessions": sessions,
        },
    }


def croissant(card: dict[str, Any]) -> dict[str, Any]:
    """The card as Croissant 1.0 (JSON-LD): one FileObject."""
    ours = card["phantomlink"]
    digest = (card["digest"] or {}).get("dandi:sha2-256")
    urls = card["contentUrl"]
    file = {
        "@type": "cr:FileObject",
        "@id": f"{ours['name']}.nwb",
        "name": f"{ours['name']}.nwb",
        "contentUrl": urls[0] if urls else f"{ours['name']}.nwb",
        "encodingFormat": card["encodingFormat"],
    }
    if digest:
        file["sha256"] = digest
    if card["contentSize"] is not None:
        file["contentSize"] = f"{card['contentSize']} B"
    described = {
        "name": ours["name"],
        "description": ours["title"] or ours["description"] or ours["name"],
        "license": card["license"],
        "keywords": card["keywords"],
        "citeAs": card["citation"],
        "url": urls[0] if urls else None,
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **{name: value for name, value in described.items() if value},
        "distribution": [file],
    }


_FACTS = (
    "num_channels",
    "num_spikes",
    "duration_seconds",
    "num_trials",
    "behaviour",
    "target_ids",
    "reaches",
    "units",
    "observed",
    "missing",
    "is_synthetic",
    "files",
)

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def _urls(source: DandiSource | UrlSource | None) -> list[str] | None:
    if isinstance(source, UrlSource):
        return [source.url]
    if isinstance(source, DandiSource):
        return [
            f"https://dandiarchive.org/dandiset/{source.dandiset}/{source.version}/files"
            f"?location={source.path}"
        ]
    return None
