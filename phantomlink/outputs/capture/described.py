"""What a capture says of its session: trials, and streams and markers as LSL has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from phantomlink.engine.parts import PlaybackParts
from phantomlink.engine.session import Session
from phantomlink.outputs.lsl.markers import bin_markers
from phantomlink.outputs.lsl.stream_description import (
    Element,
    StreamDescription,
    StreamSpec,
    session_streams,
)
from phantomlink.settings import Settings

MarkersByBin = Mapping[int, tuple[str, ...]]
_OfTrials = tuple[list[Mapping[str, Any]], MarkersByBin]


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """Of one session.

    Attributes:
        trials: as the session shows them, ready for the journal.
        markers: by bin.
        streams: what its outlets say of themselves, ready for the journal.
    """

    trials: list[Mapping[str, Any]]
    markers: MarkersByBin
    streams: list[Mapping[str, Any]]


class Descriptions:
    """Those of a server's sessions.

    Args:
        settings: that name the streams.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_trials: WeakKeyDictionary[PlaybackParts, _OfTrials] = WeakKeyDictionary()

    def of(self, session: Session, code: str) -> SessionDescription:
        """What is said of a session; looks at every trial the first time, so in a thread.

        Args:
            session: that is captured.
            code: that its streams are named by.
        """
        parts = session.parts
        of_trials = self._of_trials.get(parts)
        if of_trials is None:
            # Those of a blind session are of bins that hide some of them.
            trials = parts.bins.trials
            of_trials = [trial.as_json() for trial in trials], bin_markers(trials, parts.grid)
            self._of_trials[parts] = of_trials
        described = StreamDescription(
            recording=session.recording,
            sha256=session.open_recording.sha256,
            settings=self._settings,
            code=code,
            bin_size_ms=session.grid.bin_size_ms,
            speed=session.speed,
            rate_hz=session.rate_hz,
            lateness=(),
        )
        return SessionDescription(
            *of_trials, [stream_json(spec) for spec in session_streams(described)]
        )


def stream_json(spec: StreamSpec) -> Mapping[str, Any]:
    """A stream as the journal has it, see `captures.xdf_file`."""
    return {
        "kind": spec.kind,
        "name": spec.name,
        "type": spec.type,
        "source_id": spec.source_id,
        "channel_format": spec.channel_format,
        "nominal_rate_hz": spec.nominal_rate_hz,
        "channels": [[each.label, each.unit, each.type] for each in spec.channels],
        "desc": [_node(each) for each in spec.desc],
    }


def _node(element: Element) -> list[Any]:
    content = element.content
    if not isinstance(content, str):
        return [element.name, [_node(each) for each in content]]
    return [element.name, content]
