"""What is known of a dataset's file once it was opened, and where that is kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import platformdirs

from phantomlink.recordings.grid import BinGrid
from phantomlink.recordings.identity import FileIdentity
from phantomlink.recordings.kept_json import keep, read_kept
from phantomlink.recordings.options import SeriesOptions
from phantomlink.recordings.recording import Recording

Facts = dict[str, Any]

_VERSION = 2
_MAX_BYTES = 2**24
_RATE_HZ = Fraction(40)


def facts_of(recording: Recording) -> Facts:
    """What a card says of a file, ready for JSON."""
    info, behaviour, trials = recording.info, recording.behaviour, recording.trials
    grid = BinGrid.covering(recording.t0_seconds, recording.last_event_seconds, _RATE_HZ)
    observed = recording.observed
    span = recording.t0_seconds, recording.last_event_seconds
    return {
        "info": asdict(info) | {"keywords": list(info.keywords)},
        "num_channels": len(recording.unit_ids),
        "num_spikes": recording.n_spikes,
        "duration_seconds": grid.duration_seconds,
        "num_trials": len(trials),
        "behaviour": {
            name: None if series is None else {"path": series.path, "unit": series.unit}
            for name, series in (
                ("position", behaviour.position),
                ("velocity", behaviour.velocity),
                ("target", behaviour.target),
            )
        },
        "target_ids": list(trials.target_ids),
        "reaches": [
            {"reach_id": reach.reach_id, "x": reach.x, "y": reach.y, "num_trials": reach.n_trials}
            for reach in trials.reaches
        ],
        "units": {
            "count": len(recording.unit_ids),
            "by_location": dict(Counter(filter(None, recording.units.areas or ())).most_common()),
        },
        "observed": None
        if observed is None
        else {
            "seconds": observed.seconds_within(*span),
            "intervals": len(observed.intervals),
        },
        "missing": list(recording.missing),
        "is_synthetic": info.is_synthetic,
        "files": [path.name for path in recording.linked_paths],
    }


class FactsCache:
    """Facts by the identity of the file and the options that it is played with.

    Args:
        folder: where they are kept; None: the user's cache directory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or platformdirs.user_cache_path("phantomlink") / "datasets"

    def get(self, path: Path, options: SeriesOptions) -> Facts | None:
        """Facts of a file as it is now; None when it was not opened so before."""
        kept = read_kept(self._place(path, options), _MAX_BYTES)
        if kept.get("version") != _VERSION:
            return None
        try:
            identity = list(FileIdentity.of(path).content)
        except (OSError, ValueError):
            return None
        facts = kept.get("facts")
        return facts if kept.get("identity") == identity and isinstance(facts, dict) else None

    def put(self, path: Path, options: SeriesOptions, identity: FileIdentity, facts: Facts) -> None:
        """Keep them; a folder that cannot be written costs only the next start some time."""
        place = self._place(path, options)
        content = {"version": _VERSION, "identity": list(identity.content), "facts": facts}
        keep(place, content)

    def _place(self, path: Path, options: SeriesOptions) -> Path:
        told = {option.name: str(getattr(options, option.name)) for option in fields(options)}
        what = os.fsencode(path.absolute()) + json.dumps(told, sort_keys=True).encode()
        return self._folder / f"{path.stem[:64]}-{hashlib.sha256(what).hexdigest()[:16]}.json"
