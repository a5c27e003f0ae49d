"""XDF files of our own LSL outlets, as LabRecorder writes them.

The streams of a session are known by their source ids. A sample of the neural stream is a bin; the
timestamp says which one it is, so that samples that were lost, and time in which the session was
paused, become time that was not observed and never zeros.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.files.regular import open_regular
from phantomlink.recordings.convert.converted import (
    ConversionError,
    Converted,
    ConvertedSeries,
    ConvertedTrial,
)

_SOURCE_ID = re.compile(
    r"(?P<prefix>.+)-(?P<kind>neural|kinematics|intention|markers)-(?P<code>.+)\Z"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Stream:
    """One stream of the file."""

    info: Mapping[str, Any]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @property
    def rate_hz(self) -> float:
        return float(self.info["nominal_srate"][0])

    def channels(self) -> list[Mapping[str, Any]]:
        """What the description says of each channel."""
        try:
            listed = self.info["desc"][0]["channels"][0]["channel"]
        except (KeyError, IndexError, TypeError):
            return []
        return list(listed)


def read_xdf(path: Path, session: str | None) -> Converted:
    """What a session's streams in an XDF file say.

    Args:
        path: of the file.
        session: code of the session; None: the only one in the file.

    Raises:
        ConversionError: it is no XDF file, or has no such streams.
    """
    streams = _streams(path)
    codes = sorted(streams)
    if session is None and len(codes) != 1:
        there = ", ".join(codes) or "none"
        raise ConversionError(
            f"{path}: takes the streams of one PhantomLink session; the file has {there}"
            + ("; choose with --session CODE" if codes else "")
        )
    code = codes[0] if session is None else session
    kinds = streams.get(code, {})
    if "neural" not in kinds:
        raise ConversionError(
            f"{path}: no neural stream of session {code!r}; the file has {', '.join(codes)}"
        )
    neural = kinds["neural"]
    if not neural.rate_hz > 0 or not len(neural.seconds):
        raise ConversionError(f"{path}: the neural stream of {code!r} has no samples, or no rate")
    start = float(neural.seconds[0])
    bins = bins_of(neural.seconds, start, neural.rate_hz)
    ids, labels = _units(neural)
    return Converted(
        description=f"LSL streams of PhantomLink session {code}, from {path.name}",
        start_time=None,
        unit_ids=ids,
        labels=labels,
        spikes=[
            within_bins(bins, counts, neural.rate_hz) for counts in neural.values.T.astype(np.int64)
        ],
        observed=_observed(bins, neural.rate_hz),
        series=_series(kinds.get("kinematics"), start, neural.rate_hz),
        trials=_trials(kinds.get("intention"), start, neural.rate_hz),
    )


def bins_of(seconds: NDArray[np.float64], start: float, rate_hz: float) -> NDArray[np.int64]:
    """Which bin each sample is: by its timestamp, each later than the one before.

    Packets leave on a grid, but a late one must not fall into the bin of the next.
    """
    nearest = np.round((seconds - start) * rate_hz).astype(np.int64)
    steps = np.arange(len(nearest))
    return np.maximum.accumulate(nearest - steps) + steps


def within_bins(
    bins: NDArray[np.int64], counts: NDArray[np.int64], rate_hz: float
) -> NDArray[np.float64]:
    """Times of so many spikes in each bin, s, evenly spread and clear of its edges."""
    counts = np.maximum(counts, 0)
    repeated = np.repeat(np.arange(len(bins)), counts)
    order = np.arange(repeated.size) - np.repeat(np.cumsum(counts) - counts, counts)
    share = (order + 1) / (counts[repeated] + 1)
    return np.asarray((bins[repeated] + share) / rate_hz, dtype=np.float64)


def _streams(path: Path) -> dict[str, dict[str, _Stream]]:
    try:
        import pyxdf  # noqa: PLC0415
    except ImportError:
        raise ConversionError(
            "XDF needs the package pyxdf: pip install 'phantomlink[xdf]'"
        ) from None
    with open_regular(path) as file:
        if file.read(4) != b"XDF:":
            raise ConversionError(f"{path}: cannot be read as XDF: it does not begin with XDF:")
    try:
        loaded, _ = pyxdf.load_xdf(str(path), dejitter_timestamps=False, verbose=False)
    except (OSError, ValueError, EOFError, KeyError, IndexError, AttributeError) as error:
        raise ConversionError(f"{path}: cannot be read as XDF: {error}") from error
    found: dict[str, dict[str, _Stream]] = {}
    for stream in loaded:
        match = _SOURCE_ID.match(str((stream["info"].get("source_id") or [""])[0]))
        values = np.asarray(stream["time_series"])
        if match is None or values.ndim != 2 or values.dtype.kind not in "iuf":
            continue
        seconds = np.asarray(stream["time_stamps"], dtype=np.float64)
        made = _Stream(stream["info"], values.astype(np.float64), seconds)
        found.setdefault(match["code"], {})[match["kind"]] = made
    return found


def _units(neural: _Stream) -> tuple[list[int], list[str]]:
    n_units = neural.values.shape[1]
    labels = [str((channel.get("label") or [""])[0]) for channel in neural.channels()]
    if len(labels) != n_units:
        labels = [str(number) for number in range(n_units)]
    is_numbered = all(label.isdigit() for label in labels) and len(set(labels)) == n_units
    return ([int(label) for label in labels] if is_numbered else list(range(n_units))), labels


def _observed(bins: NDArray[np.int64], rate_hz: float) -> NDArray[np.float64]:
    """(n, 2) start and stop of the runs of bins that have samples, s."""
    breaks = np.flatnonzero(np.diff(bins) > 1)
    firsts = bins[np.concatenate(([0], breaks + 1))]
    lasts = bins[np.concatenate((breaks, [len(bins) - 1]))]
    return np.column_stack((firsts, lasts + 1)) / rate_hz


def _series(kinematics: _Stream | None, start: float, rate_hz: float) -> list[ConvertedSeries]:
    """Position and velocity, a sample in the middle of each bin."""
    if kinematics is None or kinematics.values.shape[1] != 4 or not len(kinematics.seconds):
        return []
    seconds = (bins_of(kinematics.seconds, start, rate_hz).astype(np.float64) + 0.5) / rate_hz
    units = [str((channel.get("unit") or [""])[0]) for channel in kinematics.channels()]
    made = []
    for name, columns, is_velocity in (("hand_vel", (0, 1), True), ("cursor_pos", (2, 3), False)):
        values = kinematics.values[:, columns]
        if np.isfinite(values).any():
            unit = units[columns[0]] if len(units) == 4 else ""
            made.append(ConvertedSeries(name, values, seconds, unit, is_velocity))
    return made


def _trials(intention: _Stream | None, start: float, rate_hz: float) -> list[ConvertedTrial]:
    """Runs of samples with the same trial id."""
    if intention is None or intention.values.shape[1] != 4 or not len(intention.seconds):
        return []
    bins = bins_of(intention.seconds, start, rate_hz)
    ids = intention.values[:, 3]
    trials: list[ConvertedTrial] = []
    first = 0
    for row in range(1, len(ids) + 1):
        if row < len(ids) and ids[row] == ids[first] and bins[row] == bins[row - 1] + 1:
            continue
        if math.isfinite(ids[first]):
            target_id, x, y = intention.values[first, :3].tolist()
            trials.append(
                ConvertedTrial(
                    start=float(bins[first] / rate_hz),
                    stop=float((bins[row - 1] + 1) / rate_hz),
                    target_id=int(target_id) if math.isfinite(target_id) else -1,
                    target=(x, y) if math.isfinite(x + y) else None,
                )
            )
        first = row
    return trials
