"""A tiny recording whose data name themselves, so that a receiver can prove order and loss.

The counts of the first units are the digits of the bin's index, kinematics are the index too, and
whoever gets a packet can say which bin it must be and what else must be in it. A recording at
another rate than its own is not readable this way.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.nwb.write import write_file
from phantomlink.recordings.synthetic.command import making
from phantomlink.recordings.synthetic.nwb import NOT_REAL, new_file

if TYPE_CHECKING:
    from pynwb import NWBFile

BASE = 8
SAMPLES_A_BIN = 4
TRIAL_BINS = 40
TRIAL_GAP_BINS = 4
"""At the end of every `TRIAL_BINS` bins there are so many in no trial."""
PLACES_MM = ((100, 0), (0, 100), (-100, 0), (0, -100))
"""Reached positions, trial k reaches number k % 4; in order of angle, so that is its reach_id."""


@dataclass(frozen=True, slots=True)
class NamedLayout:
    """What is in a bin of a self-naming recording.

    Attributes:
        n_units: at least `digits`.
        n_bins: of the whole recording.
        rate_hz: at which it must be played.
        digits: units 0 to digits - 1 hold the index in base BASE, lowest digit first.
    """

    n_units: int
    n_bins: int
    rate_hz: Fraction
    digits: int

    def counts(self, bins: NDArray[np.int64]) -> NDArray[np.int64]:
        """(len(bins), n_units) spikes in these bins; past the digits it is (bin + unit) % 3."""
        bins = np.asarray(bins)[:, None]
        digits = bins // BASE ** np.arange(self.digits) % BASE
        others = (bins + np.arange(self.digits, self.n_units)) % 3
        return np.concatenate([digits, others], axis=1)

    def kinematics(self, bins: NDArray[np.int64]) -> NDArray[np.float64]:
        """(len(bins), 4) vx, vy, x, y in these bins: 2 i, -2 i, i, -i for bin i."""
        return np.asarray(np.asarray(bins)[:, None] * np.array([2.0, -2.0, 1.0, -1.0]))

    def bin_of(self, counts: NDArray[np.int64]) -> int:
        """The bin that these counts name.

        Args:
            counts: (n_units,) of one packet.

        Raises:
            ValueError: the other units do not belong to that bin, or there is no such bin.
        """
        counts = np.asarray(counts, dtype=np.int64)
        named = int(np.sum(counts[: self.digits] * BASE ** np.arange(self.digits)))
        if named >= self.n_bins or not np.array_equal(self.counts(np.array([named]))[0], counts):
            raise ValueError(f"counts {counts.tolist()} are of no bin of this recording")
        return named

    @property
    def trial_bins(self) -> tuple[tuple[int, int], ...]:
        """[start, stop) bins of each trial; bins of the same trial are in one run."""
        length = TRIAL_BINS - TRIAL_GAP_BINS
        starts = range(0, self.n_bins - length, TRIAL_BINS)
        return tuple((start, start + length) for start in starts)


def synthesize_named(
    out: Path,
    *,
    units: int = 8,
    seconds: float = 20.0,
    rate_hz: float | Fraction = 40,
    overwrite: bool = False,
) -> NamedLayout:
    """Make a recording whose data name themselves.

    Unit ids are 101, 102, ... Trials take 36 of every 40 bins; trial k has `active_target` k % 3,
    three targets, and reaches `PLACES_MM[k % 4]`.

    Args:
        out: the NWB file to make.
        units: at least as many as the index has digits in base 8 (8 are enough for 5 days).
        seconds: length; rounded down to whole bins.
        rate_hz: at which it is to be played.
        overwrite: whether a file that is there may be replaced.

    Returns:
        What is in which bin.

    Raises:
        ValueError: too few units, or not even one bin.
        RecordingError: the file exists, or cannot be written.
    """
    rate = Fraction(rate_hz)
    n_bins = int(Fraction(seconds) * rate)
    if n_bins < 1:
        raise ValueError(f"seconds: got {seconds}, which at {rate} Hz is not even one bin")
    digits = len(np.base_repr(n_bins - 1, BASE))
    if units < digits:
        raise ValueError(f"units: got {units}, {n_bins} bins need {digits} or more")
    layout = NamedLayout(n_units=units, n_bins=n_bins, rate_hz=rate, digits=digits)
    with making(out, overwrite=overwrite) as part:
        _write(part, layout)
    return layout


def _write(path: Path, layout: NamedLayout) -> None:
    from pynwb import TimeSeries  # noqa: PLC0415
    from pynwb.behavior import SpatialSeries  # noqa: PLC0415

    nwb = new_file(
        identifier=f"phantomlink-synthetic-named-{layout.n_units}units-{layout.n_bins}bins",
        session_id="syntheticnamed",
        session_description=(
            f"SYNTHETIC test pattern to be played at {layout.rate_hz} Hz: the counts of the first "
            f"{layout.digits} units are the bin's index in base {BASE}. {NOT_REAL}"
        ),
        notes=NOT_REAL,
    )
    bins = np.arange(layout.n_bins)
    for unit, counts in enumerate(layout.counts(bins).T):
        nwb.add_unit(id=101 + unit, spike_times=_within_bins(counts, layout.rate_hz))
    _add_trials(nwb, layout)
    samples = np.repeat(bins, SAMPLES_A_BIN)
    within = (np.arange(samples.size) % SAMPLES_A_BIN + 0.5) / SAMPLES_A_BIN
    seconds = (samples + within) / float(layout.rate_hz)
    values = layout.kinematics(samples)
    module = nwb.create_processing_module("behavior", "Test pattern")
    module.add(
        SpatialSeries(
            name="cursor_pos",
            description="x is the index of the bin, y minus that",
            data=values[:, 2:],
            timestamps=seconds,
            unit="mm",
            reference_frame="none: a test pattern",
        )
    )
    module.add(
        TimeSeries(
            name="hand_vel",
            description="x is twice the index of the bin, y minus that",
            data=values[:, :2],
            timestamps=seconds,
            unit="mm/s",
        )
    )
    write_file(path, nwb)


def _within_bins(counts: NDArray[np.int64], rate_hz: Fraction) -> NDArray[np.float64]:
    """Times of so many spikes in each bin, evenly spread and clear of its edges."""
    bins = np.repeat(np.arange(counts.size), counts)
    order = np.arange(bins.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray((bins + (order + 1) / (counts[bins] + 1)) / float(rate_hz))


def _add_trials(nwb: NWBFile, layout: NamedLayout) -> None:
    rate = float(layout.rate_hz)
    for name, description in (
        ("target_on_time", "Time of target presentation"),
        ("go_cue_time", "Time of go cue delivery"),
        ("move_onset_time", "Time of movement onset"),
        ("active_target", "Index in target_pos of the target that was hit"),
    ):
        nwb.add_trial_column(name, description)
    nwb.add_trial_column("target_pos", "x, y of each target, mm", index=True)
    for number, (start, stop) in enumerate(layout.trial_bins):
        active, place = number % 3, PLACES_MM[number % 4]
        targets = [(150, 150), (-150, 150), (150, -150)]
        targets[active] = place
        nwb.add_trial(
            start_time=start / rate,
            stop_time=stop / rate,
            target_on_time=(start + 4) / rate,
            go_cue_time=(start + 12) / rate,
            move_onset_time=(start + 20) / rate,
            active_target=active,
            target_pos=targets,
        )
