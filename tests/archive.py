"""An archive on this machine that behaves as badly as it is told to."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

PATH = "sub-x/sub-x_desc-train.nwb"


@dataclass
class Archive:
    """What the server has and how it behaves.

    Attributes:
        content: of the file.
        break_at: byte counts at which the first answers break off, one each.
        statuses: answers of the first requests of the file in place of it.
        ignores_range: answers 200 to a Range.
        etags: of the answers, in turn; the last one stays.
        told_sha256, told_size: what the API says; None: what is right.
        length_added: to the Content-Length.
        stall_at: places in the file at which an answer stops, until the client has gone, one each.
        stalled: gets each of them when all before it was sent.
        asked: ranges that were asked for, as (first byte, sent bytes).
    """

    content: bytes
    break_at: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ignores_range: bool = False
    etags: list[str] = field(default_factory=lambda: ['"one"'])
    told_sha256: str | None = None
    told_size: int | None = None
    length_added: int = 0
    stall_at: list[int] = field(default_factory=list)
    stalled: SimpleQueue[int] = field(default_factory=SimpleQueue)
    asked: list[tuple[int, int]] = field(default_factory=list)
    url: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that refuses a file goes without reading it.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def running(archive: Archive) -> Iterator[Archive]:
    """Serve it on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path.startswith("/api/dandisets/1/versions/2/assets/?path="):
                self.answer_json({"results": [{"path": PATH, "asset_id": "abc"}]})
            elif self.path == "/api/dandisets/1/versions/2/assets/abc/":
                self.answer_json(
                    {
                        "contentUrl": [f"{archive.url}/api/assets/abc/download/"],
                        "contentSize": archive.told_size or len(archive.content),
                        "digest": {"dandi:sha2-256": archive.told_sha256 or archive.sha256},
                        "license": ["spdx:CC-BY-4.0"],
                    }
                )
            elif self.path == "/api/assets/abc/download/":
                self.send_response(302)
                self.send_header("Location", "/blob?signed=1")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path.startswith("/blob"):
                self.answer_file()
            else:
                self.send_error(404)

        def answer_json(self, said: object) -> None:
            body = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def answer_file(self) -> None:
            if archive.statuses:
                status = archive.statuses.pop(0)
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = archive.etags.pop(0) if len(archive.etags) > 1 else archive.etags[0]
            first = 0
            asked = self.headers.get("Range")
            same = self.headers.get("If-Range") in (None, etag)
            if asked and same and not archive.ignores_range:
                first = int(asked.removeprefix("bytes=").rstrip("-"))
            if first > len(archive.content) or (first == len(archive.content) and first):
                self.send_error(416)
                return
            body = archive.content[first:]
            self.send_response(206 if first else 200)
            self.send_header("ETag", etag)
            if first:
                last = len(archive.content) - 1
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(archive.content)}")
            self.send_header("Content-Length", str(len(body) + archive.length_added))
            self.end_headers()
            if archive.break_at:
                body = body[: archive.break_at.pop(0)]
                self.close_connection = True
            stall = archive.stall_at.pop(0) if archive.stall_at else None
            if stall is not None:
                body = body[: stall - first]
                self.close_connection = True
            archive.asked.append((first, len(body)))
            self.wfile.write(body)
            if stall is not None:
                archive.stalled.put(stall)
                with suppress(ConnectionError):
                    self.connection.recv(1)
            if archive.length_added:
                self.close_connection = True

    server = _Server(("127.0.0.1", 0), Handler)
    archive.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield archive
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
