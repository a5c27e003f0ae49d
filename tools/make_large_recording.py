"""Makes a large NWB recording without much memory: units for hours, chunked and compressed.

    python tools/make_large_recording.py large.nwb
    python tools/make_large_recording.py small.nwb --units 16 --seconds 60

1024 units for an hour at 5 spikes per second are 18.4 million spikes and take about 220 MB
with 1 kHz behaviour. Spikes are
Poisson and the behaviour is a slow figure of eight: this is for measuring, not for looking at.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from pathlib import Path

import h5py
import numpy as np

CHUNK_SPIKES = 65536
CHUNK_ROWS = 16384
ROWS_AT_ONCE = 600_000
BEHAVIOUR_HZ = 1000
TRIAL_SECONDS = 3.0
TRIAL_LENGTH = 2.75


def typed(
    item: h5py.Group | h5py.Dataset, kind: str, namespace: str = "core", **attributes: object
) -> None:
    item.attrs["neurodata_type"] = kind
    item.attrs["namespace"] = namespace
    item.attrs["object_id"] = str(uuid.uuid4())
    for name, value in attributes.items():
        item.attrs[name] = value


def add_table(
    parent: h5py.Group, name: str, kind: str, description: str, columns: list[str], n_rows: int
) -> h5py.Group:
    table = parent.create_group(name)
    typed(table, kind, description=description)
    table.attrs["colnames"] = np.array(columns, dtype=h5py.string_dtype())
    ids = table.create_dataset("id", data=np.arange(n_rows, dtype=np.int64))
    typed(ids, "ElementIdentifiers", "hdmf-common")
    return table


def add_index(table: h5py.Group, column: h5py.Dataset, ends: np.ndarray) -> None:
    name = column.name.rpartition("/")[2]
    index = table.create_dataset(
        f"{name}_index", data=ends.astype(np.min_scalar_type(int(ends[-1])))
    )
    typed(index, "VectorIndex", "hdmf-common", description=f"Index for VectorData '{name}'")
    index.attrs["target"] = column.ref


def add_units(
    file: h5py.File, n_units: int, seconds: float, rate_hz: float, rng: np.random.Generator
) -> int:
    units = add_table(file, "units", "Units", "simulated units", ["spike_times"], n_units)
    times = units.create_dataset(
        "spike_times",
        shape=(0,),
        maxshape=(None,),
        dtype=np.float64,
        chunks=(CHUNK_SPIKES,),
        compression="gzip",
        compression_opts=4,
    )
    typed(times, "VectorData", "hdmf-common", description="the spike times for each unit")
    ends = []
    for unit in range(n_units):
        spikes = np.sort(rng.uniform(0, seconds, rng.poisson(rate_hz * seconds)))
        start = times.shape[0]
        times.resize((start + spikes.size,))
        # To the ticks of a 30 kHz clock, as recorders have them: it also compresses.
        times[start:] = np.round(np.floor(spikes * 30000) / 30000, 6)
        ends.append(start + spikes.size)
        if sys.stderr.isatty():
            print(f"\r{unit + 1} of {n_units} units", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    add_index(units, times, np.array(ends))
    return ends[-1]


def add_behaviour(file: h5py.File, seconds: float) -> None:
    module = file.create_group("processing/behavior")
    typed(module, "ProcessingModule", description="simulated behaviour")
    n_rows = int(seconds * BEHAVIOUR_HZ)
    for name, kind, unit in (
        ("cursor_pos", "SpatialSeries", "mm"),
        ("hand_vel", "TimeSeries", "mm/s"),
    ):
        series = module.create_group(name)
        typed(series, kind, description=name, comments="columns=[x,y]")
        chunked = {"dtype": np.float64, "compression": "gzip", "compression_opts": 1}
        data = series.create_dataset("data", (n_rows, 2), chunks=(CHUNK_ROWS, 2), **chunked)
        data.attrs.update({"unit": unit, "conversion": 1.0, "resolution": -1.0, "offset": 0.0})
        times = series.create_dataset("timestamps", (n_rows,), chunks=(CHUNK_ROWS,), **chunked)
        times.attrs.update({"unit": "seconds", "interval": np.int32(1)})
        if kind == "SpatialSeries":
            series["reference_frame"] = "simulated"
        for start in range(0, n_rows, ROWS_AT_ONCE):
            t = np.arange(start, min(start + ROWS_AT_ONCE, n_rows)) / BEHAVIOUR_HZ
            x, y = 100 * np.sin(t), 50 * np.sin(2 * t)
            if name == "hand_vel":
                x, y = 100 * np.cos(t), 100 * np.cos(2 * t)
            data[start : start + t.size] = np.stack([x, y], axis=1)
            times[start : start + t.size] = t


def add_trials(file: h5py.File, seconds: float) -> None:
    starts = np.arange(0, seconds - TRIAL_LENGTH, TRIAL_SECONDS)
    columns = {
        "start_time": starts,
        "stop_time": starts + TRIAL_LENGTH,
        "active_target": np.zeros(starts.size, dtype=np.int64),
        "target_pos": np.array([(100, 0), (0, 100), (-100, 0), (0, -100)])[
            np.arange(starts.size) % 4
        ],
    }
    intervals = file.require_group("intervals")
    trials = add_table(
        intervals, "trials", "TimeIntervals", "simulated trials", list(columns), starts.size
    )
    for name, values in columns.items():
        column = trials.create_dataset(name, data=values)
        typed(column, "VectorData", "hdmf-common", description=name)
    add_index(trials, trials["target_pos"], np.arange(1, starts.size + 1))


def make(
    out: Path, *, units: int, seconds: float, rate_hz: float, behaviour: bool, seed: int
) -> int:
    """Write the recording; the number of its spikes."""
    with h5py.File(out, "w") as file:
        typed(file, "NWBFile", nwb_version="2.7.0")
        file["identifier"] = f"phantomlink-synthetic-large-{units}units-{seconds:g}s-seed{seed}"
        file["session_description"] = "SYNTHETIC recording for measuring; not of an animal"
        file["session_start_time"] = file["timestamps_reference_time"] = "2000-01-01T00:00:00+00:00"
        file["file_create_date"] = np.array(
            ["2000-01-01T00:00:00+00:00"], dtype=h5py.string_dtype()
        )
        for group in ("acquisition", "analysis", "processing", "general"):
            file.create_group(group)
        for group in ("presentation", "templates"):
            file.create_group(f"stimulus/{group}")
        n_spikes = add_units(file, units, seconds, rate_hz, np.random.default_rng(seed))
        if seconds > TRIAL_LENGTH:
            add_trials(file, seconds)
        if behaviour:
            add_behaviour(file, seconds)
    return n_spikes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--units", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--rate", type=float, default=5, help="spikes per second of a unit")
    parser.add_argument("--behaviour", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    n_spikes = make(
        given.out,
        units=given.units,
        seconds=given.seconds,
        rate_hz=given.rate,
        behaviour=given.behaviour,
        seed=given.seed,
    )
    print(f"{given.out}: {n_spikes} spikes, {given.out.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
