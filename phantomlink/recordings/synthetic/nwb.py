"""Writes a synthetic recording as NWB, laid out as MC_Maze_Small is.

pynwb takes more than a second to import, so that happens when a file is written and nowhere else.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phantomlink.recordings.nwb.write import repeatable_ids, write_file
from phantomlink.recordings.synthetic.recording import SyntheticRecording
from phantomlink.recordings.synthetic.spikes import AREAS, CHANNELS, TICKS_PER_MS

if TYPE_CHECKING:
    from pynwb import NWBFile

SESSION_START = datetime(2000, 1, 1, tzinfo=UTC)
"""No session took place; a fixed date keeps the data the same for the same seed."""

NOT_REAL = (
    "This is not a recording of an animal: all of it was drawn from a random number generator by "
    "PhantomLink."
)
KEYWORDS = ("synthetic", "simulated data", "motor cortex", "premotor cortex", "reaching")

_LOCATIONS = {"PMd": "Dorsal premotor cortex", "M1": "Primary motor cortex"}

_TRIAL_COLUMNS = (
    ("trial_type", "A number representing the maze configuration: 3 * maze + version"),
    (
        "trial_version",
        "0 is 1-target no-barrier, 1 is 1-target with barriers, 2 is 3-target with barriers",
    ),
    ("maze_id", "A unique identifier for each maze"),
    ("success", "If the reach ended on the target"),
    ("target_on_time", "Time of target presentation"),
    ("go_cue_time", "Time of go cue delivery"),
    ("move_onset_time", "Time of movement onset: hand speed passes about 5 % of its peak"),
    ("rt", "Delay between go cue and movement onset, ms"),
    ("delay", "Delay between target presentation and go cue, ms"),
    ("num_targets", "The number of targets for the trial"),
    ("target_pos", "x, y of each target, mm"),
    ("num_barriers", "The number of barriers for the trial"),
    ("barrier_pos", "Centre x, y and half width, half height of each barrier, mm"),
    ("active_target", "Index in target_pos of the target that was hit"),
    ("split", 'Split for evaluating decoders: "train" or "val"'),
)
_RAGGED = ("target_pos", "barrier_pos")

_UNIT_COLUMNS = (
    ("heldout", "Whether a benchmark would hold the unit out"),
    ("spike_times", "the spike times for each unit in seconds"),
    ("obs_intervals", "the observation intervals for each unit"),
    ("electrodes", "the electrodes that each spike unit came from"),
)


def import_pynwb() -> None:
    """Import what `write_recording` needs, for whoever has something else to wait for."""
    import pynwb  # noqa: F401, PLC0415


def write_recording(path: Path, recording: SyntheticRecording) -> None:
    """Write the file at this path, which must be free.

    The same recording gives the same bytes with the same versions of numpy, h5py, hdmf and pynwb.

    Raises:
        OSError: the file cannot be written.
    """
    with repeatable_ids(f"maze {recording.seed}"):
        nwb = _nwb_of(recording)
        write_file(path, nwb)


def _nwb_of(recording: SyntheticRecording) -> NWBFile:
    n_trials, n_units = len(recording.trials), len(recording.population)
    what = f"seed{recording.seed}-{n_units}units-{n_trials}trials"
    nwb = new_file(
        identifier=f"phantomlink-synthetic-maze-{what}",
        session_id=f"syntheticseed{recording.seed}",
        session_description=(
            f"SYNTHETIC delayed reaching task with maze barriers: {n_trials} trials, {n_units} "
            f"units, seed {recording.seed}. {NOT_REAL}"
        ),
        notes=(
            f"{NOT_REAL} Its layout, timing, rates and tuning are modelled on the published "
            "MC_Maze_Small recording, of which it contains nothing."
        ),
    )
    _add_electrodes(nwb)
    _add_units(nwb, recording)
    _add_trials(nwb, recording)
    _add_behaviour(nwb, recording)
    return nwb


def new_file(*, identifier: str, session_id: str, session_description: str, notes: str) -> NWBFile:
    """An NWB file without data that says what it is."""
    from pynwb import NWBFile  # noqa: PLC0415
    from pynwb.file import Subject  # noqa: PLC0415

    return NWBFile(
        session_description=session_description,
        identifier=identifier,
        session_start_time=SESSION_START,
        # Not the time at which it is made: the file is to be the same whenever that is.
        file_create_date=SESSION_START,
        session_id=session_id,
        experiment_description="Simulated center-out delayed reaching task with maze barriers",
        experimenter=["PhantomLink, Synthetic"],
        institution="Synthetic",
        lab="Synthetic",
        keywords=list(KEYWORDS),
        notes=notes,
        subject=Subject(
            subject_id="Synthetic",
            description=f"Synthetic subject. {NOT_REAL} The species is the one it is modelled on.",
            species="Macaca mulatta",
            sex="U",
            age="P0D",
        ),
    )


def ragged(rows: list[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A ragged column: all rows one after the other, and where each ends.

    The ends have the smallest unsigned type that holds them, as NWB files do.
    """
    ends = np.cumsum([len(row) for row in rows])
    return np.concatenate(rows), ends.astype(np.min_scalar_type(int(ends[-1])))


def _add_electrodes(nwb: NWBFile) -> None:
    nwb.add_electrode_column("filtering", "description of hardware filtering")
    for area in AREAS:
        device = nwb.create_device(
            f"electrode_array_{area}", description=f"Simulated 96-electrode array in {area}"
        )
        group = nwb.create_electrode_group(
            f"electrode_group_{area}",
            description=f"Electrodes of a simulated array in {area}",
            location=_LOCATIONS[area],
            device=device,
        )
        for _ in range(CHANNELS):
            nwb.add_electrode(
                id=len(nwb.electrodes) + 1 if nwb.electrodes else 1,
                x=np.nan,
                y=np.nan,
                z=np.nan,
                imp=np.nan,
                location=area,
                group=group,
                filtering="1000 Hz",
            )


def _add_units(nwb: NWBFile, recording: SyntheticRecording) -> None:
    from hdmf.common import DynamicTableRegion, VectorData, VectorIndex  # noqa: PLC0415
    from pynwb.misc import Units  # noqa: PLC0415

    population = recording.population
    windows = np.array([(trial.start_ms, trial.stop_ms) for trial in recording.trials]) / 1000
    rows = {
        "spike_times": recording.spikes,
        "obs_intervals": [windows] * len(population),
        "electrodes": list(population.electrodes[:, None]),
    }
    columns = []
    for name, description in _UNIT_COLUMNS:
        if name == "heldout":
            columns.append(VectorData(name=name, description=description, data=population.heldout))
            continue
        data, ends = ragged(rows[name])
        if name == "electrodes":
            column = DynamicTableRegion(
                name=name, description=description, data=data, table=nwb.electrodes
            )
        else:
            column = VectorData(name=name, description=description, data=data)
        columns += [column, VectorIndex(name=f"{name}_index", target=column, data=ends)]
    nwb.units = Units(
        name="units",
        description="simulated spiking units; id is array * 1000 + channel * 10 + unit",
        id=population.ids,
        resolution=1 / (1000 * TICKS_PER_MS),
        columns=columns,
        colnames=[name for name, _ in _UNIT_COLUMNS],
    )


def _add_trials(nwb: NWBFile, recording: SyntheticRecording) -> None:
    from hdmf.common import VectorData, VectorIndex  # noqa: PLC0415
    from pynwb.epoch import TimeIntervals  # noqa: PLC0415

    values = _trial_values(recording)
    columns = [
        VectorData(
            name=f"{edge}_time",
            description=f"{edge.capitalize()} time of epoch, in seconds",
            data=values[f"{edge}_time"],
        )
        for edge in ("start", "stop")
    ]
    for name, description in _TRIAL_COLUMNS:
        if name in _RAGGED:
            data, ends = ragged(values[name])
            column = VectorData(name=name, description=description, data=data)
            columns += [column, VectorIndex(name=f"{name}_index", target=column, data=ends)]
        else:
            columns.append(VectorData(name=name, description=description, data=values[name]))
    nwb.trials = TimeIntervals(
        name="trials",
        description="simulated trials",
        id=np.arange(len(recording.trials)),
        columns=columns,
        colnames=["start_time", "stop_time", *(name for name, _ in _TRIAL_COLUMNS)],
    )


def _trial_values(recording: SyntheticRecording) -> dict[str, Any]:
    trials = recording.trials
    go_ms = [trial.go_cue_ms for trial in trials]
    versions = [trial.version for trial in trials]
    mazes = [trial.maze.maze_id for trial in trials]
    targets = [trial.targets_mm for trial in trials]
    barriers = [trial.barriers_mm for trial in trials]

    def whole(values: list[int]) -> NDArray[np.int64]:
        return np.array(values, dtype=np.int64)

    return {
        "start_time": whole([trial.start_ms for trial in trials]) / 1000,
        "stop_time": whole([trial.stop_ms for trial in trials]) / 1000,
        "trial_type": 3 * whole(mazes) + whole(versions),
        "trial_version": whole(versions),
        "maze_id": whole(mazes),
        "success": np.ones(len(trials), dtype=bool),
        "target_on_time": whole([trial.target_on_ms for trial in trials]) / 1000,
        "go_cue_time": whole(go_ms) / 1000,
        "move_onset_time": whole([trial.move_onset_ms for trial in trials]) / 1000,
        "rt": whole([trial.move_onset_ms for trial in trials]) - whole(go_ms),
        "delay": whole(go_ms) - whole([trial.target_on_ms for trial in trials]),
        "num_targets": whole([len(rows) for rows in targets]),
        "target_pos": targets,
        "num_barriers": whole([len(rows) for rows in barriers]),
        "barrier_pos": barriers,
        "active_target": whole([trial.active_target for trial in trials]),
        "split": [trial.split for trial in trials],
    }


def _add_behaviour(nwb: NWBFile, recording: SyntheticRecording) -> None:
    from pynwb import TimeSeries  # noqa: PLC0415
    from pynwb.behavior import SpatialSeries  # noqa: PLC0415

    kinematics = recording.kinematics
    module = nwb.create_processing_module("behavior", "Simulated behavioral data")
    for name, what, data in (
        ("cursor_pos", "Cursor position", kinematics.cursor_mm),
        ("eye_pos", "Eye position", kinematics.eye_mm),
        ("hand_pos", "Hand position", kinematics.hand_mm),
    ):
        module.add(
            SpatialSeries(
                name=name,
                description=f"{what} in mm. First column x, second column y",
                comments="columns=[x,y]",
                data=data,
                timestamps=kinematics.seconds,
                unit="mm",
                reference_frame="center of screen",
            )
        )
    module.add(
        TimeSeries(
            name="hand_vel",
            description=(
                "Hand velocity in mm/s, the gradient of hand position at 1 ms within each trial. "
                "First column x, second column y"
            ),
            comments="columns=[x,y]",
            data=kinematics.hand_mm_s,
            timestamps=kinematics.seconds,
            unit="mm/s",
        )
    )
