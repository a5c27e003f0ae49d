"""Files as answers: whole or a range of them, and nothing where the client has the same already."""

from __future__ import annotations

from pathlib import Path

from werkzeug.http import parse_accept_header, parse_etags, parse_range_header, unquote_etag

from phantomlink.rest.request import RequestHead
from phantomlink.rest.response import FilePart, Headers, Response, problem
from phantomlink.scheduling.worker_thread import run_in_thread
from phantomlink.web.static_files import StaticFile

_ENCODING = ("Accept-Encoding",)


async def file_response(
    head: RequestHead, path: Path, media_type: str, *, max_age_seconds: int = 0
) -> Response:
    """A file, or the range of it that was asked for (RFC 9110, one range).

    Args:
        head: of the request.
        path: of the file.
        media_type: of it.
        max_age_seconds: for how long a client may keep it without asking again.

    Raises:
        OSError: there is no such file.
    """
    stat = await run_in_thread(path.stat)
    size = stat.st_size
    etag = f"{stat.st_mtime_ns:x}-{size:x}"
    cache = f"public, max-age={max_age_seconds}" if max_age_seconds else "no-cache"
    headers: Headers = (
        ("ETag", f'"{etag}"'),
        ("Cache-Control", cache),
        ("Accept-Ranges", "bytes"),
    )
    if parse_etags(head.get("if-none-match")).contains_weak(etag):
        return Response(b"", 304, content_type="", headers=headers)
    condition = head.get("if-range")
    wanted = parse_range_header(head.get("range"))
    # Who asks for several ranges, or in another unit, gets the whole.
    if (
        wanted is None
        or wanted.units != "bytes"
        or len(wanted.ranges) != 1
        or (condition is not None and unquote_etag(condition) != (etag, False))
    ):
        return Response(FilePart(path, 0, size), content_type=media_type, headers=headers)
    part = wanted.range_for_length(size)
    if part is None:
        whole = (("Content-Range", f"bytes */{size}"),)
        return problem(416, "No such range", f"range: takes one within {size} bytes", whole)
    start, stop = part
    return Response(
        FilePart(path, start, stop - start),
        206,
        media_type,
        (*headers, ("Content-Range", f"bytes {start}-{stop - 1}/{size}")),
    )


def static_response(head: RequestHead, file: StaticFile, headers: Headers = ()) -> Response:
    """A file that is in memory, compressed where the client takes that.

    Args:
        head: of the request.
        file: the file.
        headers: of the answer, beside its own.
    """
    headers = (
        *headers,
        ("ETag", file.etag),
        ("Cache-Control", "no-cache"),
    )
    if parse_etags(head.get("if-none-match")).contains_weak(file.etag.strip('"')):
        return Response(b"", 304, content_type="", headers=headers, vary=_ENCODING)
    if parse_accept_header(head.get("accept-encoding"))["gzip"] > 0:
        headers = (*headers, ("Content-Encoding", "gzip"))
        return Response(file.gzipped, 200, file.media_type, headers, _ENCODING)
    return Response(file.body, 200, file.media_type, headers, _ENCODING)
