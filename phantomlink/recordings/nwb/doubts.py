"""What looks doubtful once all parts of a file are known, and what could be chosen in its place."""

from __future__ import annotations

from collections.abc import Sequence

from phantomlink.recordings.anomalies import AnomalyList, Severity
from phantomlink.recordings.clocks import Span, SpikeClock, span_of, suspected_unit
from phantomlink.recordings.contents import Behaviour, UnitTable
from phantomlink.recordings.nwb.behaviour import NwbBehaviour
from phantomlink.recordings.nwb.series import RegularTimes, Series
from phantomlink.recordings.nwb.told_series import described_columns, xy_columns
from phantomlink.recordings.trials import TrialTable

_MANY_TIMES_LONGER = 10
_MOST_NAMED = 8
_AXES = 3


def note_clocks(
    anomalies: AnomalyList,
    units: UnitTable,
    clock: SpikeClock,
    behaviour: NwbBehaviour,
    trials: TrialTable,
    series: Sequence[Series],
) -> None:
    """Compare the spans of spikes, behaviour and trials, and note what is not plausible."""
    spikes = clock.span
    if spikes is None:
        return
    times = [t for trial in trials if trial.plays for t in (trial.start_time, trial.stop_time)]
    others = span_of([*behaviour.ends(), *times])
    if others is not None:
        unit = suspected_unit(spikes, others, clock.sampling_rate_hz)
        if unit is not None:
            anomalies.add(
                units.spike_times_path,
                f"the spikes run from {spikes}, behaviour and trials from {others}: spike times "
                f"seem to be in {unit.replace('@', ' at ')}{' Hz' if '@' in unit else ''}, not in "
                "seconds; they are played as seconds",
                options=[("spike-time-unit", unit)],
                severity=Severity.DOUBTFUL,
            )
    for each in series:
        _note_period(anomalies, each, spikes)


def note_choices(
    anomalies: AnomalyList, series: Sequence[Series], behaviour: Behaviour, *, is_told: bool
) -> None:
    """Name the series that a person could choose where none was found by itself.

    Args:
        anomalies: where it is noted.
        series: every series of the file.
        behaviour: what is played of them.
        is_told: whether a person named the position.
    """
    for each in series:
        if not each.has_unit:
            anomalies.add(
                each.path,
                "its data have no attribute unit; it is played only when it is named",
                options=[("position-series", each.path)],
            )
    if behaviour.position is not None:
        if not is_told:
            _note_third_axis(anomalies, series, behaviour.position.path)
        return
    noted = {anomaly.place for anomaly in anomalies}
    others = [
        each
        for each in series
        if each.path.startswith(("processing/", "acquisition/"))
        and each.rows > 1
        and each.path not in noted
        and each.path not in (behaviour.velocity.path if behaviour.velocity else "").split(",")
    ]
    if not others:
        return
    best = min(others, key=lambda each: (each.columns not in (2, 3), each.columns < 2))
    named = best.path if best.columns in (2, 3) else f"{best.path}[:,0:2]"
    listed = ", ".join(
        f"{each.path} ({described_columns(each)}, unit {each.unit or 'none'})"
        for each in others[:_MOST_NAMED]
    )
    more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
    anomalies.add(
        "position",
        f"could be one of these series: {listed}{more}",
        "to take one",
        options=[("position-series", best.path if best.columns == 1 else named)],
        severity=Severity.ABSENT,
    )


def _note_third_axis(anomalies: AnomalyList, series: Sequence[Series], played: str) -> None:
    """Say which two of three axes are played: of a camera's, the height may be one of them."""
    paths = played.split(",")
    first = next(each for each in series if each.path == paths[0])
    if len(paths) == 1 and first.columns == _AXES:
        x, y = xy_columns(first)
        (left_out,) = {0, 1, 2} - {x, y}
        said = f"has {described_columns(first)}; {x} and {y} are played"
        other = f"{first.path}[:,[{x},{left_out}]]"
    else:
        third = f"{first.path[:-1]}{'z' if first.path[-1].islower() else 'Z'}"
        if len(paths) == 1 or all(each.path != third for each in series):
            return
        said, other = f"is a third axis; {' and '.join(paths)} are played", f"{first.path},{third}"
        first = next(each for each in series if each.path == third)
    anomalies.add(
        first.path,
        said,
        "to play others, as in",
        options=[("position-series", other)],
        severity=Severity.DETAIL,
    )


def _note_period(anomalies: AnomalyList, series: Series, spikes: Span) -> None:
    if not isinstance(series.times, RegularTimes) or series.rows < 2:
        return
    rate = series.times.rate_hz
    seconds, as_period = series.rows / rate, series.rows * rate
    length = max(spikes.last, spikes.last - spikes.first)
    if rate < 1 and length > 0 and seconds > _MANY_TIMES_LONGER * length >= as_period:
        anomalies.add(
            f"{series.path}/starting_time",
            f"a rate of {rate:g} Hz makes {series.rows} rows last {seconds:g} s, the spikes last "
            f"{length:g} s: it seems to be a period; with {1 / rate:g} Hz they would last "
            f"{as_period:g} s",
            "correct the rate in the file",
            severity=Severity.DOUBTFUL,
        )
