"""Which pages may call this: our own, those of localhost, those named, and never with cookies.

A page of another origin may not read an answer; `AccessPolicy` keeps it from changing anything and
from listening.
"""

from __future__ import annotations

from collections.abc import Iterable

from phantomlink.access.origins import OriginRule
from phantomlink.rest.request import RequestHead
from phantomlink.rest.response import Headers

# "*" stands for every header but Authorization.
_HEADERS = "*, Authorization"
_EXPOSED = "Retry-After, WWW-Authenticate"
_MAX_AGE_SECONDS = "600"


def allowing_headers(head: RequestHead, origins: OriginRule) -> Headers:
    """What lets a page read an answer; nothing for a page that may not."""
    given = head.get_all("origin")
    # A page of our own host needs no leave, so the host does not matter here.
    if len(given) != 1 or not given[0].isascii() or not origins.allows(given[0], host=""):
        return ()
    allowing: Headers = (
        ("Access-Control-Allow-Origin", given[0]),
        ("Access-Control-Expose-Headers", _EXPOSED),
    )
    return allowing


def preflight_headers(methods: Iterable[str]) -> Headers:
    """What a browser is told that asks which requests a page may send to a path."""
    return (
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", _HEADERS),
        ("Access-Control-Max-Age", _MAX_AGE_SECONDS),
    )
