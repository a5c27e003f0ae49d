"""What a server says at its start of what is odd in the recording that it plays."""

from __future__ import annotations

import shlex

from phantomlink.recordings.anomalies import most_important
from phantomlink.recordings.recording import Recording

_MOST = 3


def start_lines(recording: Recording) -> list[str]:
    """The most important anomalies, and where all of them are told; none where all are details."""
    said = most_important(recording.anomalies, _MOST)
    if not said:
        return []
    lines = [str(anomaly) for anomaly in said]
    more = len(recording.anomalies) - len(said)
    if more:
        command = f"phantomlink inspect {shlex.quote(str(recording.path))}"
        lines.append(f"{more} more remarks about this recording: {command}")
    return lines
