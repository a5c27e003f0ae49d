"""What is known of captures, and where that is kept: a JSON file beside each journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from phantomlink.captures.journal_reader import RECOVERED, Journal
from phantomlink.captures.journal_writer import segment_paths
from phantomlink.files.atomic_write import written_atomically
from phantomlink.files.regular import read_regular
from phantomlink.outputs.capture.running import RunningCapture

RUNNING, COMPLETE = "running", "complete"
FORMS = ("nwb", "journal", "xdf", "recipe")
_SUFFIXES = {"nwb": ".nwb", "journal": ".plj", "xdf": ".xdf", "recipe": ".recipe.json"}
# A recipe with thousands of control events is a file, and no member of an answer.
_MOST_RECIPE_BYTES = 16 * 1024
_MOST_BYTES = 2**22


@dataclass(frozen=True, slots=True)
class CaptureInfo:
    """What is known of a capture, as `GET /api/captures/{id}` has it.

    Attributes:
        id: its name.
        title: that it was given.
        session: its code; "" of a private one.
        dataset, sha256: of the source.
        state: `running`, `complete`, `torn` or `recovered`.
        reason: why it ended, or is not whole; "" while it runs.
        started_at: ISO 8601, UTC.
        seconds: that it ran.
        packets, lost_packets: that it holds, and does not.
        bytes: of its file.
        first_packet_id, last_packet_id: of those that it holds.
        digest: SHA-256 over its canonical payloads; None while that is not known.
        recipe: JSON of it; None while it is not known, where it has none, and where it is long.
        no_recipe: why it has none; "" where it has one.
        has_recipe: whether there is one, as a file.
        problems: why forms could not be made, by form.
        is_read: whether its journal has been read after its end, and its NWB file made.
    """

    id: str
    title: str
    session: str
    dataset: str
    sha256: str | None
    state: str
    reason: str
    started_at: str
    seconds: float
    packets: int
    lost_packets: int
    bytes: int
    first_packet_id: int | None
    last_packet_id: int | None
    digest: str | None = None
    recipe: Mapping[str, Any] | None = None
    no_recipe: str = ""
    has_recipe: bool = False
    problems: Mapping[str, str] | None = None
    is_read: bool = False

    def with_facts(
        self, facts: Mapping[str, Any], problems: Mapping[str, str | None]
    ) -> CaptureInfo:
        """With what reading the journal has told.

        Args:
            facts: see `captures.facts`, as JSON.
            problems: by form, why it is not there; None where it is.
        """
        known = {each.name for each in fields(self)} & facts.keys()
        told = {name: facts[name] for name in known}
        if self.state != RECOVERED:
            # How long a capture ran is more than from its first packet to its last, and who tore
            # it knows better why than its journal, which may have no end.
            told = {**told, "state": self.state, "reason": self.reason, "seconds": self.seconds}
        told["has_recipe"] = told["recipe"] is not None
        if len(json.dumps(told["recipe"])) > _MOST_RECIPE_BYTES:
            told |= {"recipe": None, "no_recipe": "it is long: ask for its file"}
        told["sha256"] = told["sha256"] or self.sha256
        failed = {name: why for name, why in problems.items() if why is not None}
        return replace(self, **told, problems=failed or None, is_read=True)

    @property
    def forms(self) -> tuple[str, ...]:
        """Those that its file can be had in, what is made of it first where it is there."""
        there = {
            "nwb": self.is_read and "nwb" not in self.failed,
            "journal": self.is_read or self.state == COMPLETE,
            "xdf": self.is_read and self.packets > 0 and "xdf" not in self.failed,
            "recipe": self.has_recipe,
        }
        return tuple(form for form in FORMS if self.state != RUNNING and there[form])

    @property
    def failed(self) -> Mapping[str, str]:
        """`problems`, of nothing where there are none."""
        return self.problems or {}


def form_path(folder: Path, info: CaptureInfo, form: str) -> Path:
    """Where a form of a capture lies.

    The NWB file of a private session is hidden, so that it is in no list of datasets.
    """
    dot = "." if form == "nwb" and not info.session else ""
    return folder / f"{dot}{info.id}{_SUFFIXES[form]}"


def keep(folder: Path, info: CaptureInfo) -> None:
    """Write what is known of a capture.

    Raises:
        OSError: it cannot be written.
    """
    with written_atomically(folder / f"{info.id}.json", overwrite=True) as part:
        part.write_text(json.dumps(asdict(info)) + "\n", encoding="utf-8")


def read_info(path: Path) -> CaptureInfo:
    """What was kept of a capture.

    Args:
        path: of its journal.

    Raises:
        OSError, ValueError, TypeError: it cannot be read.
    """
    return CaptureInfo(**json.loads(read_regular(path.with_suffix(".json"), _MOST_BYTES)))


def info_of(capture: RunningCapture) -> CaptureInfo:
    """What is known of a capture of this process."""
    session = capture.session
    return CaptureInfo(
        id=capture.capture_id,
        title=capture.title,
        session=capture.session_code,
        dataset=session.recording.dataset,
        sha256=session.open_recording.sha256,
        state=capture.state,
        reason=capture.reason if capture.state != RUNNING else "",
        started_at=capture.started_at.isoformat().replace("+00:00", "Z"),
        seconds=round(capture.seconds, 3),
        packets=capture.packets,
        lost_packets=capture.lost_packets,
        bytes=capture.n_bytes,
        first_packet_id=capture.first_packet_id,
        last_packet_id=capture.last_packet_id,
    )


def found_info(path: Path) -> CaptureInfo:
    """What the first record of a journal says whose process died; the rest is still to be read.

    Raises:
        CaptureError: it is no journal.
    """
    header = Journal(path).header
    when = header.capture_id.partition("-")[0]
    return CaptureInfo(
        id=header.capture_id,
        title=header.title,
        session=header.session,
        dataset=header.dataset,
        sha256=header.sha256,
        state=RECOVERED,
        reason="its process died; it is being read",
        started_at=f"{when[:4]}-{when[4:6]}-{when[6:11]}:{when[11:13]}:{when[13:]}",
        seconds=0.0,
        packets=0,
        lost_packets=0,
        bytes=sum(part.stat().st_size for part in (*segment_paths(path), path) if part.exists()),
        first_packet_id=None,
        last_packet_id=None,
    )
