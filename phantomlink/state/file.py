"""The file that keeps sessions over a restart: its form, and whether to believe it. Pure.

There is one file for each recording, named after its identity, so that another recording neither
gets these positions nor loses them. A file is there whole or not at all; one of another form (an
editor's, a newer version's, a broken disk's) is renamed, never overwritten.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from msgspec import Meta, convert

from phantomlink.engine.pace import MAX_SPEED, MIN_SPEED
from phantomlink.engine.session_codes import is_code
from phantomlink.errors import InvalidParameterError
from phantomlink.files.regular import read_regular
from phantomlink.perturbation import NO_PERTURBATION, SEEDS, Perturbation
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.settings import MAX_RATE_HZ, MIN_RATE_HZ
from phantomlink.state.form import (
    FORMAT,
    VERSION,
    DatasetFile,
    RecordingIdentity,
    dump_entries,
    write_entries,
)

# Larger whole numbers are not exact in the JSON of every language.
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
_MAX_BYTES = 2**26


class StateFormError(ValueError):
    """A state file of the wrong form; says what came and what is taken."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """What is kept of a session.

    A member that a later version adds needs a default: files of earlier ones lack it, and earlier
    versions pass over members that they do not know.

    Attributes:
        code: its name.
        created_at: ISO 8601 UTC.
        rate_hz: bins a second, exact.
        speed: times faster than recorded, exact.
        bin_index: of the next packet of the unfiltered playhead.
        sequence_number: of that packet.
        loop: times the playhead has wrapped.
        is_paused, is_stopped: as they were.
        perturbation: what is done to its packets.
        seed: of it.
        outputs: whether it was to have a kind of output, by the kind's name; what is not named is
            as for a new session.
        dataset: that it plays; None for the server's default.
        dataset_file: of that dataset; None for the default, whose file `RecordingIdentity` is of.
        test_trials: whose truth is hidden; None for none.
        was_stopped: whether it was stopped at any time.
    """

    code: str
    created_at: Annotated[datetime, Meta(tz=True)]
    rate_hz: Fraction
    speed: Fraction
    bin_index: _Count
    sequence_number: _Count
    loop: _Count
    is_paused: bool
    is_stopped: bool
    perturbation: Perturbation = NO_PERTURBATION
    seed: Annotated[int, Meta(ge=SEEDS.low, le=SEEDS.high)] = 0
    outputs: Mapping[str, bool] = field(default_factory=dict)
    dataset: str | None = None
    dataset_file: DatasetFile | None = None
    test_trials: tuple[_Count, ...] | None = None
    was_stopped: bool = False


def dump_state(
    identity: RecordingIdentity, sessions: Sequence[SessionState], sha256: str | None = None
) -> bytes:
    """The content of the file; see `dump_entries`."""
    return dump_entries(identity, [_entry(session) for session in sessions], sha256)


def parse_state(data: bytes, identity: RecordingIdentity) -> list[SessionState]:
    """What a file says.

    Raises:
        StateFormError: it has not the form that this version writes, or is of another recording.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StateFormError(f"it is not JSON ({error})") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StateFormError(f"format: takes {FORMAT!r}")
    version = content.get("version")
    if version != VERSION or isinstance(version, bool):
        raise StateFormError(f"version: got {version!r:.40}, takes {VERSION}")
    if content.get("recording") != asdict(identity):
        raise StateFormError(f"recording: takes {asdict(identity)}")
    entries = content.get("sessions")
    if not isinstance(entries, list):
        raise StateFormError("sessions: takes a list")
    sessions = [_session(entry, n) for n, entry in enumerate(entries)]
    codes = [session.code for session in sessions]
    if len(set(codes)) != len(codes):
        raise StateFormError("sessions: a code is there twice")
    return sessions


def read_state(path: Path, identity: RecordingIdentity) -> list[SessionState]:
    """What is kept; nothing where there is no file.

    Raises:
        StateFormError: the file has the wrong form.
        OSError: it cannot be read.
    """
    try:
        data = read_regular(path, _MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return parse_state(data, identity)


def write_state(
    path: Path,
    identity: RecordingIdentity,
    sessions: Sequence[SessionState],
    sha256: str | None = None,
) -> None:
    """Replace the file as a whole, once the new one is on the disk.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    write_entries(path, identity, [_entry(session) for session in sessions], sha256)


def _entry(session: SessionState) -> dict[str, Any]:
    values = {field.name: getattr(session, field.name) for field in fields(session)}
    file = session.dataset_file
    return values | {
        "created_at": session.created_at.isoformat(),
        "rate_hz": str(session.rate_hz),
        "speed": str(session.speed),
        "perturbation": session.perturbation.as_json(),
        "dataset_file": None if file is None else asdict(file),
    }


def _session(entry: object, n: int) -> SessionState:
    if not isinstance(entry, dict):
        raise StateFormError(f"sessions[{n}]: takes an object")
    values: dict[str, Any] = {}
    flags = {kind: entry[name] for name, kind in _OUTPUT_FLAGS.items() if name in entry}
    entry = {"outputs": flags} | entry
    types = _types()
    for each in fields(SessionState):
        where = f"sessions[{n}].{each.name}"
        if each.name not in entry:
            if (each.default, each.default_factory) == (MISSING, MISSING):
                raise StateFormError(f"{where}: got none, which is wrong")
            continue
        value = entry[each.name]
        read = _READERS.get(each.name)
        try:
            values[each.name] = read(value) if read else convert(value, types[each.name])
        except InvalidParameterError as error:
            raise StateFormError(f"sessions[{n}].{error}") from None
        except (ValueError, ZeroDivisionError) as error:
            raise StateFormError(f"{where}: got {value!r:.40} ({error})") from None
    return SessionState(**values)


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(SessionState, include_extras=True)


def _read_code(value: object) -> str:
    if not is_code(value):
        raise ValueError("takes 1 to 64 letters, digits, '-' or '_'")
    return str(value)


def _read_fraction(low: Fraction, high: Fraction) -> Callable[[object], Fraction]:
    def read(value: object) -> Fraction:
        # An exponent could ask for a number of a billion digits.
        if not isinstance(value, str) or len(value) > 64 or "e" in value.lower():
            raise ValueError("takes a fraction as text")
        fraction = Fraction(value)
        if not low <= fraction <= high:
            raise ValueError(f"takes {low} to {high}")
        return fraction

    return read


# What says more than a type can.
_READERS: dict[str, Callable[[Any], Any]] = {
    "code": _read_code,
    "rate_hz": _read_fraction(Fraction(MIN_RATE_HZ), Fraction(MAX_RATE_HZ)),
    "speed": _read_fraction(MIN_SPEED, MAX_SPEED),
    "perturbation": parse_perturbation,
}
# In the files of versions before there was `outputs`: a flag for each kind.
_OUTPUT_FLAGS = {"has_lsl": "lsl", "has_brand": "brand"}
