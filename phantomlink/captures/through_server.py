"""`phantomlink capture`: capture a session through its server, and have the file."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Any

from phantomlink.client.address import parse_address
from phantomlink.client.errors import ClientError
from phantomlink.client.rest import Rest
from phantomlink.errors import CaptureError
from phantomlink.files.atomic_write import written_atomically

FORMS = {".plj": "journal", ".nwb": "nwb", ".xdf": "xdf", ".json": "recipe"}
"""By the ending of a file's name."""

_POLL_SECONDS = 0.5


def run_capture(
    url: str | None,
    code: str,
    out: Path,
    *,
    seconds: float | None,
    title: str,
    keeps_playing: bool,
    overwrite: bool,
    token: str | None,
) -> int:
    """Capture a session until it ends, for so long, or until interrupted; the exit code.

    Args:
        url: of the server; None: see `parse_address`.
        code: of the session.
        out: the file to make; its ending says in which form.
        seconds: for how long; None: until interrupted or the session ends.
        title: of the capture.
        keeps_playing: whether the session plays though nobody listens.
        overwrite: whether a file that is there is replaced.
        token: of the server; None: see `parse_address`.

    Raises:
        CaptureError: the server refuses, cannot be reached, or has no such form of it.
        FileExistsError: there is a file, and `overwrite` is false.
        OSError: the file cannot be written.
    """
    form = FORMS.get(out.suffix)
    if form is None:
        raise CaptureError(f"{out}: takes a name that ends in {', '.join(FORMS)}")
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists already; --overwrite replaces it")
    try:
        rest = Rest(parse_address(url, token))
        body = {"session": code, "title": title, "keeps_playing": keeps_playing}
        if seconds is not None:
            body["max_seconds"] = seconds
        capture_id = rest.call("POST", "/api/captures", body)["id"]
        sys.stderr.write(f"Capture {capture_id} records what {code} sends")
        sys.stderr.write("\n" if seconds is not None else "; Ctrl-C ends it\n")
        with contextlib.suppress(KeyboardInterrupt):
            while _state(rest, capture_id)["state"] == "running":
                time.sleep(_POLL_SECONDS)
        ended = rest.call("POST", f"/api/captures/{capture_id}/stop")
        with written_atomically(out, overwrite=overwrite) as part, part.open("xb") as file:
            while not rest.download(f"/api/captures/{capture_id}/file", file, {"format": form}):
                time.sleep(_POLL_SECONDS)
    except (ClientError, ValueError) as error:
        raise CaptureError(str(error)) from error
    sys.stdout.write(f"{out}: {ended['packets']} packets, {ended['state']}: {ended['reason']}\n")
    return 0 if ended["state"] == "complete" else 1


def _state(rest: Rest, capture_id: str) -> dict[str, Any]:
    return rest.call("GET", f"/api/captures/{capture_id}")
