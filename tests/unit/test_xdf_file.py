"""Captures as XDF: pyxdf reads what LSL would have sent, and nothing warns."""

import logging

import numpy as np
import pytest
import pyxdf

from phantomlink.captures.records import CONTROL_MARKERS, Control, End, Marker, Sent
from phantomlink.cli import main
from phantomlink.engine.perturbed import apply_perturbation
from phantomlink.perturbation.presets import parse_perturbation
from phantomlink.recordings.recording import open_recording
from tests.captures import AT_40, header_of, sent_packets, streams_of, write_journal

END = End("complete", "stopped", 0, 0)


def records_of(recording, faults, n=900):
    """Packets of more than one chunk, with markers and a seek."""
    applied = None
    if faults:
        transforms = [
            {"kind": "packet_loss", "probability": 0.1},
            {"kind": "packet_duplicate", "probability": 0.1},
        ]
        wanted = parse_perturbation({"transforms": transforms})
        applied = apply_perturbation(wanted, 7, recording.at_rate(AT_40))
    packets = list(sent_packets(recording, [(0, b % 700) for b in range(n)], applied=applied))
    marked = packets[30]
    marker = Marker("go_cue", 30, 30, marked.deadline_ns)
    seek = Control("seek", 500, 500, 0, packets[500].deadline_ns - 1000)
    return [*packets[:31], marker, *packets[31:500], seek, *packets[500:]]


def converted(recording, folder, records):
    header = header_of(recording, streams=streams_of(recording))
    path = write_journal(folder, header, records, END)
    out = folder / "a.xdf"
    assert main(["convert", str(path), str(out)]) == 0
    return path, out


@pytest.mark.parametrize("faults", [False, True])
def test_pyxdf_reads_what_lsl_would_have_sent(recording, tmp_path, caplog, faults):
    records = records_of(recording, faults)
    _, out = converted(recording, tmp_path, records)
    with caplog.at_level(logging.WARNING):
        loaded, header = pyxdf.load_xdf(out, dejitter_timestamps=False)
    assert not caplog.records
    assert header["info"]["version"] == ["1.0"]
    streams = {stream["info"]["source_id"][0]: stream for stream in loaded}
    assert sorted(streams) == [
        f"phantomlink-{kind}-a" for kind in ("intention", "kinematics", "markers", "neural")
    ]
    sent = [r for r in records if isinstance(r, Sent) for _ in range(r.delivered)]
    assert (len(sent) != 900) is faults
    stamps = [r.deadline_ns / 1e9 for r in sent]
    neural = streams["phantomlink-neural-a"]
    assert neural["time_stamps"].tolist() == stamps
    assert neural["time_series"].dtype == np.int32
    assert neural["time_series"].tolist() == [r.packet.spike_counts.tolist() for r in sent]
    kinematics = streams["phantomlink-kinematics-a"]["time_series"]
    rows = [(r.packet.vx, r.packet.vy, r.packet.x, r.packet.y) for r in sent]
    assert np.array_equal(kinematics, np.array(rows, np.float32), equal_nan=True)
    aims = streams["phantomlink-intention-a"]["time_series"]
    trial_ids = np.array([r.packet.trial_id for r in sent], np.float32)
    assert np.array_equal(aims[:, 3], trial_ids, equal_nan=True)
    markers = streams["phantomlink-markers-a"]
    assert markers["time_series"] == [["go_cue"], ["seek"]]
    assert "seek" in CONTROL_MARKERS
    for stream in loaded:
        assert int(stream["footer"]["info"]["sample_count"][0]) == len(stream["time_stamps"])
    labels = neural["info"]["desc"][0]["channels"][0]["channel"]
    assert [each["label"][0] for each in labels] == [str(unit) for unit in recording.unit_ids]


def test_it_is_the_nwb_of_the_same_capture(recording, tmp_path):
    records = records_of(recording, faults=False, n=700)
    journal, xdf = converted(recording, tmp_path, records)
    for source, name in ((journal, "journal.nwb"), (xdf, "xdf.nwb")):
        assert main(["convert", str(source), str(tmp_path / name)]) == 0
    blocks = []
    for name in ("journal.nwb", "xdf.nwb"):
        with open_recording(tmp_path / name) as again:
            blocks.append(again.at_rate(AT_40).read(0, 700))
    assert np.array_equal(blocks[0].counts, blocks[1].counts)
    kinematics = [block.kinematics.astype(np.float32) for block in blocks]
    assert np.array_equal(*kinematics, equal_nan=True)


def test_without_packets_it_is_a_file_of_empty_streams(recording, tmp_path):
    _, out = converted(recording, tmp_path, [])
    loaded, _ = pyxdf.load_xdf(out)
    assert [len(stream["time_series"]) for stream in loaded] == [0, 0, 0, 0]


def test_a_capture_that_does_not_say_what_its_streams_were_is_refused(recording, tmp_path, capsys):
    path = write_journal(tmp_path, header_of(recording), [], END)
    assert main(["convert", str(path), str(tmp_path / "x.xdf")]) == 2
    assert "LSL streams" in capsys.readouterr().err
    assert not (tmp_path / "x.xdf").exists()
