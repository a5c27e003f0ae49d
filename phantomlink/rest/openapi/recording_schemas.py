"""JSON Schemas of the recording: what it is, its trials, and the messages of its streams."""

from __future__ import annotations

from phantomlink.rest.openapi.parts import (
    Schema,
    array,
    flag,
    integer,
    nullable,
    number,
    record,
    ref,
    seed,
    session_code,
    text,
)

_NOT_ALWAYS = frozenset({"observed", "perturbation_id"})


def recording_schemas() -> dict[str, Schema]:
    """By name."""
    return _recording() | _trials() | _messages()


def _basics() -> dict[str, Schema]:
    return {
        "dataset": text("name of the file, without .nwb", "mc_maze"),
        "num_channels": integer("units, which are columns of spike_counts", 142),
        "duration_seconds": number("length of all bins together", 293.675),
        "total_packets": integer("bins of the recording", 11747),
        "frequency_hz": number("packets a second", 40),
        "speed": number("times faster than recorded", 1.0),
        "bin_size_ms": number("width of a bin", 25.0),
        "num_trials": integer(example=100),
        "is_synthetic": flag("made by a program, and the file says so"),
        "perturbation": nullable(ref("Perturbation")),
        "seed": seed(),
    }


def _recording() -> dict[str, Schema]:
    return {
        "Series": record(
            "A series of behaviour in the recording.",
            {
                "path": text(
                    "NWB path; two, joined by a comma, where each axis has a series",
                    "processing/behavior/cursor_pos",
                ),
                "neurodata_type": text(example="SpatialSeries"),
                "unit": text("of the values that are sent; empty where none is known", "mm"),
                "rate_hz": nullable(number("samples a second inside a stretch", 1000.0)),
                "rows": integer("samples", 287705),
                "columns": integer("numbers a sample", 2),
                "conversion": number("factor that was applied to what is stored", 1.0),
                "offset": number("added after the factor", 0.0),
                "derived": flag("the values are the gradient of the series"),
            },
        ),
        "Reach": record(
            "A distinct place that trials aimed at.",
            {
                "reach_id": integer("in order of angle from +x, counter-clockwise", 0),
                "x": number("in the recording's own unit", 116.0),
                "y": nullable(number("the same; null on a 1-D track", -77.0)),
                "num_trials": integer("trials that aimed there", 12),
            },
        ),
        "Metadata": record(
            "The recording, and how it is played.",
            _basics()
            | {
                "t0_seconds": number("start of bin 0 on the recording's clock", 0.0),
                "last_event_seconds": number("last event on the recording's clock", 293.666),
                "num_spikes": integer("of all units together", 131669),
                "unit_ids": array(integer(), "labels of the units, in the order of the columns"),
                "unit_labels": nullable(
                    array(text(), "ids of the file, where unit_ids are rows; else null")
                ),
                "behaviour": record(
                    "What was found; position gives x and y, velocity vx and vy.",
                    {
                        "position": nullable(ref("Series")),
                        "velocity": nullable(ref("Series")),
                        "found": array(ref("Series"), "every series, used or not"),
                    },
                ),
                "target_ids": array(integer(), "the distinct target ids"),
                "reaches": array(ref("Reach")),
                "missing": array(text(), "what was looked for and not found"),
                "sha256": nullable(text("of the file; null until it has been computed")),
                "file_name": text(example="mc_maze.nwb"),
                "identifier": text("of the file"),
                "session_description": text("of the recording session"),
                "session_id": text("of the recording session"),
                "session_start_time": text("of the recording session, as in the file"),
                "subject": text(example="Jenkins"),
                "species": text(),
                "lab": text(),
                "institution": text(),
                "keywords": array(text()),
                "nwb_version": text(example="2.4.0"),
            },
        ),
    }


def _trials() -> dict[str, Schema]:
    count = integer("trials in this answer", 100)
    return {
        "Trial": record(
            "A row of the trial table: these members, then every other column of the table "
            "(NaN as null).",
            {
                "trial_id": integer("row in the trial table", 5),
                "start_time": nullable(number("s, recording clock", 14.9)),
                "stop_time": nullable(number("s, recording clock", 17.701)),
                "target_id": nullable(
                    integer("index into this trial's own list of targets; not a place", 0)
                ),
                "target_x": nullable(number("the recording's own unit", 133.0)),
                "target_y": nullable(number("the recording's own unit", -81.0)),
                "reach_id": nullable(integer("place of the target, see Reach", 8)),
            },
        ),
        "Trials": record(
            "Every trial.",
            {
                "trials": array(ref("Trial")),
                "total_trials": integer("trials of the recording", 100),
                "count": count,
            },
        ),
        "TrialsOfTarget": record(
            "The trials that aimed at one target.",
            {"trials": array(ref("Trial")), "count": count, "target_id": integer(example=0)},
        ),
    }


def _packet() -> dict[str, Schema]:
    def coordinates(*names: str) -> dict[str, Schema]:
        return {name: nullable(number()) for name in names}

    return {
        "packet_id": integer("bin index in the recording", 1234),
        "sequence_number": integer(
            "+1 for every packet of this playback; a jump means that this client lost some", 87
        ),
        "timestamp": number("Unix s, when the packet left the scheduler", 1767225600.025),
        "spikes": record(
            "",
            {
                "channel_ids": array(integer(), "columns of spike_counts: 0 to num_channels - 1"),
                "spike_counts": array(integer(), "spikes of each unit in this bin"),
                "bin_size_ms": number(example=25.0),
            },
        ),
        "kinematics": record(
            "The recording's own units; null where it has none.",
            coordinates("vx", "vy", "x", "y"),
        ),
        "intention": record(
            "Null outside trials.",
            {
                "target_id": nullable(integer()),
                **coordinates("target_x", "target_y", "distance_to_target"),
                "reach_id": nullable(integer()),
            },
        ),
        "trial_id": nullable(integer("row in the trial table; null outside trials", 5)),
        "trial_time_ms": nullable(number("since the start of that trial", 412.5)),
        "loop": integer("times the playhead has wrapped", 0),
        "observed": flag("false when nothing of the bin's time was observed; else not there"),
        "perturbation_id": text(
            "of what was done to the counts; not there when they are the recording's own",
            "3f9a1c2b4d5e",
        ),
    }


def _messages() -> dict[str, Schema]:
    units = {name: nullable(text()) for name in ("vx", "vy", "x", "y")}
    return {
        "DataMessage": record(
            "Every WebSocket message but the first.",
            {
                "type": text(const="data"),
                "data": record("One packet.", _packet(), _NOT_ALWAYS),
            },
        ),
        "MetadataMessage": record(
            "The first WebSocket message.",
            {
                "type": text(const="metadata"),
                "data": record(
                    "The stream, and a snapshot of the packet at the playhead.",
                    _basics()
                    | {
                        "channel_count": integer("as num_channels", 142),
                        "channel_ids": array(integer(), "columns of spike_counts"),
                        "unit_ids": array(integer(), "labels of the units behind them"),
                        "unit_labels": nullable(
                            array(text(), "ids of the file, where unit_ids are rows; else null")
                        ),
                        "kinematics_units": record("Null where there is none.", units),
                        "t0_seconds": number("start of bin 0 on the recording's clock", 0.0),
                        "is_paused": flag("no packets come until somebody resumes"),
                        "server_version": text(example="0.1.0"),
                    }
                    | _packet(),
                    _NOT_ALWAYS,
                ),
                "session": record("", {"code": session_code(), "url": text("of the stream")}),
            },
        ),
    }
