"""Conversion: small files written here by the published layouts, read back by readers not ours."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from phantomlink.recordings.convert.command import read_source, run_convert
from phantomlink.recordings.convert.converted import ConversionError
from phantomlink.recordings.convert.xdf import bins_of, within_bins
from phantomlink.recordings.recording import open_recording

RATE = 40.0
N = 120
LOST = {30, 31, 32, 70}


# --- XDF --------------------------------------------------------------------------------------


def chunk(tag: int, content: bytes) -> bytes:
    return struct.pack("<BIH", 4, len(content) + 2, tag) + content


def stream(number: int, source_id: str, labels: list[str], kind: str, samples) -> bytes:
    """A stream header, its samples, and its footer."""
    channels = "".join(
        f"<channel><label>{label}</label><unit>mm</unit></channel>" for label in labels
    )
    header = (
        f"<?xml version='1.0'?><info><name>n</name><type>t</type>"
        f"<channel_count>{len(labels)}</channel_count><nominal_srate>{RATE}</nominal_srate>"
        f"<channel_format>{kind}</channel_format><source_id>{source_id}</source_id>"
        f"<created_at>0</created_at><uid>u{number}</uid>"
        f"<desc><channels>{channels}</channels></desc></info>"
    )
    dtype = {"int32": "<i4", "float32": "<f4"}[kind]
    content = struct.pack("<I", number) + struct.pack("<BI", 4, len(samples))
    for stamp, values in samples:
        content += struct.pack("<Bd", 8, stamp) + np.asarray(values, dtype=dtype).tobytes()
    footer = (
        f"<?xml version='1.0'?><info><first_timestamp>{samples[0][0]}</first_timestamp>"
        f"<last_timestamp>{samples[-1][0]}</last_timestamp>"
        f"<sample_count>{len(samples)}</sample_count></info>"
    )
    return (
        chunk(2, struct.pack("<I", number) + header.encode())
        + chunk(3, content)
        + chunk(6, struct.pack("<I", number) + footer.encode())
    )


def expected_counts() -> np.ndarray:
    bins = np.arange(N)[:, None]
    return (bins * np.array([1, 3, 7]) + np.arange(3)) % 5


def xdf_file(path: Path, codes=("s1",)) -> Path:
    rng = np.random.default_rng(0)
    stamps = 5000 + np.arange(N) / RATE + rng.uniform(0, 0.004, N)
    kept = [row for row in range(N) if row not in LOST]
    counts = expected_counts()
    content = b"XDF:" + chunk(1, b"<?xml version='1.0'?><info><version>1.0</version></info>")
    for number, code in enumerate(codes):
        neural = [(stamps[row], counts[row]) for row in kept]
        moving = [(stamps[row], (row, -row, 2 * row, 1.0)) for row in kept]
        aims = [(stamps[row], (1, 10, 20, 4) if 10 <= row < 25 else (np.nan,) * 4) for row in kept]
        for place, (kind, labels, form, samples) in enumerate(
            (
                ("neural", ["101", "102", "205"], "int32", neural),
                ("kinematics", ["vx", "vy", "x", "y"], "float32", moving),
                ("intention", ["target_id", "x", "y", "trial_id"], "float32", aims),
            )
        ):
            number_of_stream = 10 * number + place + 1
            content += stream(number_of_stream, f"phantomlink-{kind}-{code}", labels, form, samples)
    path.write_bytes(content)
    return path


def test_an_xdf_file_of_our_streams_plays_the_same_counts(tmp_path, capsys):
    source, out = xdf_file(tmp_path / "r.xdf"), tmp_path / "r.nwb"
    assert run_convert(source, out, session=None, overwrite=False) == 0
    assert "3 units" in capsys.readouterr().err
    with open_recording(out) as recording:
        assert recording.unit_ids == (101, 102, 205)
        bins = recording.at_rate(Fraction(40))
        block = bins.read(0, N)
        kept = np.array([row not in LOST for row in range(N)])
        assert np.array_equal(block.counts[kept], expected_counts()[kept])
        assert np.array_equal(block.observed, kept)
        np.testing.assert_allclose(block.kinematics[kept, 0], np.flatnonzero(kept))
        np.testing.assert_allclose(block.kinematics[kept, 2], 2 * np.flatnonzero(kept))
        (trial,) = recording.trials
        assert (trial.start_time, trial.stop_time) == (10 / RATE, 25 / RATE)
        assert (trial.target_id, trial.target_x, trial.target_y) == (1, 10.0, 20.0)
        assert recording.behaviour.position.unit == "mm"


def test_which_session_is_asked_for_where_there_are_several(tmp_path, capsys):
    source = xdf_file(tmp_path / "r.xdf", codes=("a", "b-c"))
    out = tmp_path / "o.nwb"
    assert run_convert(source, out, session=None, overwrite=False) == 2
    assert "the file has a, b-c; choose with --session CODE" in capsys.readouterr().err
    assert run_convert(source, out, session="x", overwrite=False) == 2
    assert "no neural stream of session 'x'" in capsys.readouterr().err
    assert not out.exists()
    assert run_convert(source, out, session="b-c", overwrite=False) == 0
    assert run_convert(source, out, session="b-c", overwrite=False) == 2
    assert "exists already; --overwrite replaces it" in capsys.readouterr().err
    assert run_convert(source, out, session="b-c", overwrite=True) == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_bins_are_counted_by_time_and_never_twice():
    seconds = np.array([0.0, 0.026, 0.049, 0.087, 0.088, 0.5])
    assert bins_of(seconds, 0.0, 40.0).tolist() == [0, 1, 2, 3, 4, 20]


def test_spikes_lie_inside_their_bins():
    bins, counts = np.array([0, 3, 4]), np.array([2, 0, 300])
    times = within_bins(bins, counts, 40.0)
    assert np.array_equal(np.bincount((times * 40).astype(int), minlength=5), [2, 0, 0, 0, 300])


# --- spike files --------------------------------------------------------------------------------


def nev_file(path: Path, spikes: dict[tuple[int, int], list[int]]) -> Path:
    """A Blackrock NEV file of specification 2.3: samples at 30 kHz of (electrode, unit class)."""
    electrodes = sorted({electrode for electrode, _ in spikes})
    wave = 48
    packet = 8 + 2 * wave
    extended = b"".join(
        struct.pack(
            "<8sHBBHHhhBBH8s", b"NEUEVWAV", electrode, 1, electrode, 250, 0, 0, 0, 1, 2, wave, b""
        )
        for electrode in electrodes
    )
    n_header = 336 + len(extended)
    basic = struct.pack(
        "<8sBBHIIII8H32s256sI",
        *(b"NEURALEV", 2, 3, 1, n_header, packet, 30_000, 30_000),
        *(2024, 5, 0, 12, 10, 0, 0, 0),
        *(b"test", b"", len(electrodes)),
    )
    events = sorted(
        (sample, electrode, unit) for (electrode, unit), ss in spikes.items() for sample in ss
    )
    data = b"".join(
        struct.pack("<IHBB", sample, electrode, unit, 0) + bytes(2 * wave)
        for sample, electrode, unit in events
    )
    path.write_bytes(basic + extended + data)
    return path


def test_a_blackrock_file(tmp_path):
    spikes = {(1, 1): [300, 900, 60_000], (1, 2): [450], (7, 1): list(range(3000, 33_000, 3000))}
    source = nev_file(tmp_path / "r.nev", spikes)
    out = tmp_path / "r.nwb"
    assert run_convert(source, out, session=None, overwrite=False) == 0
    with open_recording(out) as recording:
        bins = recording.at_rate(Fraction(40))
        counts = bins.read(0, bins.grid.n_bins).counts
    found = sorted(np.flatnonzero(column).tolist() for column in counts.T)
    assert found == sorted(sorted({s // 750 for s in samples}) for samples in spikes.values())
    assert counts.sum() == 14


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("r.pl2", "needs a library of Plexon's"),
        ("r.rhd", "reads no spikes of Intan's"),
        ("r.oebin", "Open Ephys' binary format"),
        ("r.mat", r"takes .xdf of PhantomLink's LSL streams, or .nev, .plx"),
        ("r.nev", "Neo cannot read it"),
        ("r.xdf", "cannot be read as XDF"),
    ],
)
def test_what_is_not_converted_says_why(tmp_path, name, match):
    (tmp_path / name).write_bytes(b"something else entirely, 64 bytes or more of it" * 3)
    with pytest.raises(ConversionError, match=match):
        read_source(tmp_path / name, None)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConversionError, match="No such file"):
        read_source(tmp_path / "r.xdf", None)
