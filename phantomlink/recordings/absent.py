"""What a recording lacks, for a person who expects more of a packet than there is."""

from __future__ import annotations

from collections.abc import Iterator

from phantomlink.recordings.anomalies import Anomaly, Severity
from phantomlink.recordings.clocks import Span
from phantomlink.recordings.contents import Behaviour
from phantomlink.recordings.observed import ObservedTime
from phantomlink.recordings.targets import TargetColumns
from phantomlink.recordings.trials import TrialTable


def absent_parts(
    *,
    n_spikes: int,
    behaviour: Behaviour,
    trials: TrialTable,
    target_columns: TargetColumns,
    observed: ObservedTime | None,
    span: Span,
) -> Iterator[Anomaly]:
    """What the recording has not, and what is sent in its place.

    Args:
        n_spikes: of all units together.
        behaviour: series found.
        trials: trials found.
        target_columns: columns that say what was aimed at.
        observed: when the units were observed; None where the file does not say.
        span: of the recording.
    """
    absent, detail = Severity.ABSENT, Severity.DETAIL
    if not n_spikes:
        yield Anomaly("spikes", "no unit has any", severity=absent)
    if behaviour.position is None:
        yield Anomaly(
            "position",
            "no series of 1 to 3 columns in a unit of length under processing or acquisition; x "
            "and y are null",
            severity=absent,
        )
    if behaviour.velocity is None:
        yield Anomaly(
            "velocity",
            "no series of it, and no position to derive it from; vx and vy are null",
            severity=absent,
        )
    elif behaviour.velocity.derived:
        yield Anomaly(
            "velocity",
            "no series of it; vx and vy are the gradient of the position",
            severity=detail,
        )
    if observed is not None:
        yield from _unobserved(observed, span)
    if not len(trials):
        return
    if target_columns.target is None:
        yield Anomaly(
            "target ids",
            "no column such as active_target in the trials; target_id is null",
            severity=absent,
        )
    if not trials.reaches and behaviour.target is None:
        yield Anomaly(
            "target places",
            "no column such as target_pos that says; target_x, target_y are null",
            severity=absent,
        )


def _unobserved(observed: ObservedTime, span: Span) -> Iterator[Anomaly]:
    first, last = span
    unobserved = (last - first) - observed.seconds_within(first, last)
    if unobserved > 0:
        yield Anomaly(
            "observed time",
            f"for {unobserved:.3f} of {last - first:.3f} s nothing was observed (obs_intervals, "
            'invalid_times); packets of that time have "observed": false',
            severity=Severity.DETAIL,
        )
