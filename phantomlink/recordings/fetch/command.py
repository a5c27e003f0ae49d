"""`phantomlink fetch NAME`: get the file of a dataset of the catalogue."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from phantomlink.errors import PhantomLinkError
from phantomlink.recordings.catalogue.entries import Entry, read_entries
from phantomlink.recordings.fetch.errors import FetchError

API_VARIABLE = "PHANTOM_DANDI_API"
"""Another archive of the same kind, for tests and mirrors."""


def run_fetch(name: str, data_dir: Path, *, as_json: bool = False) -> int:
    """Fetch a dataset with a progress bar on stderr.

    Args:
        name: of the dataset.
        data_dir: where its file goes.
        as_json: print progress as lines of JSON on stdout, for a server that waits for it.

    Returns:
        Exit code: 0, 2 after one line on stderr, 130 after Ctrl-C.
    """
    try:
        entry = _entry(name, data_dir)
        try:
            from phantomlink.recordings.fetch.download import Download  # noqa: PLC0415
            from phantomlink.recordings.fetch.http import new_session  # noqa: PLC0415
        except ImportError:
            raise FetchError(
                "fetching needs the package requests: pip install 'phantomlink[fetch]'"
            ) from None
        from phantomlink.recordings.fetch.dandi import API, remote_of  # noqa: PLC0415
        from phantomlink.recordings.fetch.progress import shown_progress  # noqa: PLC0415

        session = new_session()
        api = os.environ.get(API_VARIABLE, API)
        with shown_progress(name, as_json=as_json) as progress:
            download = Download(data_dir / f"{name}.nwb", session, progress)
            try:
                remote = download.run(lambda: remote_of(session, entry, api))
            except KeyboardInterrupt:
                sys.stderr.write(f"\nphantomlink: interrupted; {download.how_to_go_on}\n")
                return 130
    except PhantomLinkError as error:
        _refused(error, as_json=as_json)
        return 2
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"phantomlink: {where}{error.strerror or error}\n")
        return 2
    sys.stderr.write(f"{data_dir / f'{name}.nwb'}: fetched, its SHA-256 is right\n")
    for what, said in (("license", remote.license), ("cite", remote.citation)):
        if said:
            sys.stderr.write(f"  {what}: {said}\n")
    return 0


def _refused(error: PhantomLinkError, *, as_json: bool) -> None:
    if as_json:
        line = json.dumps({"error": str(error), "status": error.http_status})
        sys.stdout.write(f"{line}\n")
    sys.stderr.write(f"phantomlink: {error}\n")


def _entry(name: str, data_dir: Path) -> Entry:
    entries = read_entries(data_dir)
    if name not in entries:
        raise FetchError(f"{name!r} is not in the catalogue; it has {', '.join(entries)}")
    return entries[name]


if __name__ == "__main__":
    # As the server asks for it: the name and the folder, progress as lines of JSON.
    sys.exit(run_fetch(sys.argv[1], Path(sys.argv[2]), as_json=True))
