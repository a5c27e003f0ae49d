"""The files of the dashboard, compressed once, and the pages that show it.

Pages and files hold no data of recordings or sessions, so they need no token. What they may do is
said by a content security policy: scripts and styles are files of this server, nothing is inline,
and nothing is asked of another host.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from phantomlink.errors import NotFoundError

PAGES = ("/", "/s/{code}", "/timing", "/datasets", "/decoders")
"""Paths of the dashboard's pages, which are one and the same."""

_HERE = Path(__file__).parent
_FOLDER = _HERE / "static"
_MEDIA_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".ts": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}
_HTML = "text/html; charset=utf-8"
_GZIP_LEVEL = 9
# What can stand in a policy without ending a directive: see `client_base_url`.
_HOST = re.compile(r"[A-Za-z0-9._~%:\[\]-]{1,260}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is answered.

    Attributes:
        media_type: of it.
        body: as it is.
        gzipped: the same, compressed.
        etag: of the content, with its quotes.
    """

    media_type: str
    body: bytes
    gzipped: bytes
    etag: str


@cache
def static_files() -> dict[str, StaticFile]:
    """Every file under `/static/`, by its path there. Blocks the first time: it reads them all."""
    return {
        path.relative_to(_FOLDER).as_posix(): _static_file(
            path.read_bytes(), _MEDIA_TYPES[path.suffix]
        )
        for path in sorted(_FOLDER.rglob("*"))
        if path.is_file()
    }


def static_file(path: str) -> StaticFile:
    """A file under `/static/`.

    Raises:
        NotFoundError: there is none.
    """
    found = static_files().get(path)
    if found is None:
        raise NotFoundError(f"no file {path[:80]!r} in the dashboard")
    return found


@cache
def page(root: str) -> StaticFile:
    """The page of every screen.

    Args:
        root: from its address to that of the server: `./` or `../`.
    """
    text = (_HERE / "shell.html").read_text(encoding="utf-8")
    return _static_file(text.replace("{{root}}", root).encode(), _HTML)


def content_security_policy(host: str) -> str:
    """What the page may do.

    Args:
        host: by which the client called the server. Safari does not take `'self'` to mean its
            WebSockets too.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.match(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'{sockets}; worker-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _static_file(body: bytes, media_type: str) -> StaticFile:
    digest = hashlib.sha256(body).hexdigest()
    # Without a time in it, so that the same file is the same bytes.
    zipped = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    return StaticFile(media_type, body, zipped, f'"{digest[:32]}"')
