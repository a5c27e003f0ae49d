"""The files of the dashboard, compressed once, and the pages that show it.

Pages and files hold no data of recordings or sessions, so they need no token. What they may do is
said by a content security policy: scripts and styles are files of this server, nothing is inline,
and nothing is asked of another host.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
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
_IMPORTED = re.compile(r'^(?:import|export)\b[^;]*?from "(\.[^"]+)";', re.MULTILINE)
# What every screen begins with, and the screen that most people open, which lies below `/s/`.
_FIRST_MODULE, _LIVE_MODULE, _LIVE_ROOT = "app.js", "screens/live.js", "../"
# What can stand in a policy without ending a directive: see `RequestHead.base_url`.
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
    modules = modules_of(_FIRST_MODULE)
    if root == _LIVE_ROOT:
        modules |= modules_of(_LIVE_MODULE)
    # All at once: asked for by one another, they take a round trip for each level.
    preloads = "\n".join(
        f'<link rel="modulepreload" href="{root}static/{path}">' for path in sorted(modules)
    )
    text = text.replace("{{preloads}}", preloads).replace("{{root}}", root)
    return _static_file(text.encode(), _HTML)


def modules_of(path: str) -> set[str]:
    """A module under `/static/`, and all that it imports, by their paths there."""
    found: set[str] = set()
    wanted = [path]
    while wanted:
        module = wanted.pop()
        if module in found:
            continue
        found.add(module)
        text = static_file(module).body.decode()
        folder = posixpath.dirname(module)
        wanted += [
            posixpath.normpath(posixpath.join(folder, each)) for each in _IMPORTED.findall(text)
        ]
    return found


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
