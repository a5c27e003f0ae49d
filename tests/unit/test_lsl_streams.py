"""What the LSL streams of a session say of themselves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pylsl
import pytest

from phantomlink import __version__
from phantomlink.metrics import Histogram
from phantomlink.outputs.lsl.outlets import append
from phantomlink.outputs.lsl.stream_description import Element, StreamDescription, session_streams
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize
from phantomlink.settings import Settings


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("lsl") / "small.nwb"
    synthesize(path, units=12, trials=3)
    with open_recording(path) as recording:
        yield recording


def described(recording, **others):
    values = {
        "recording": recording,
        "sha256": None,
        "settings": Settings(),
        "code": "a-1",
        "bin_size_ms": 25.0,
        "speed": Fraction(1),
        "rate_hz": Fraction(40),
        "lateness": (),
    }
    return StreamDescription(**values | others)


def texts(spec, name):
    """The texts of one node of the description."""
    found = [element for element in spec.desc if element.name == name]
    assert len(found) == 1
    return {child.name: child.content for child in found[0].content}


def test_the_streams_are_those_of_the_contract(recording):
    found = [spec.as_json() for spec in session_streams(described(recording))]
    assert found == [
        {
            "name": "PhantomLink-Neural-a-1",
            "type": "EEG",
            "source_id": "phantomlink-neural-a-1",
            "channel_count": 12,
            "nominal_rate_hz": 40.0,
            "channel_format": "int32",
        },
        {
            "name": "PhantomLink-Kinematics-a-1",
            "type": "Kinematics",
            "source_id": "phantomlink-kinematics-a-1",
            "channel_count": 4,
            "nominal_rate_hz": 40.0,
            "channel_format": "float32",
        },
        {
            "name": "PhantomLink-Intention-a-1",
            "type": "Intention",
            "source_id": "phantomlink-intention-a-1",
            "channel_count": 4,
            "nominal_rate_hz": 40.0,
            "channel_format": "float32",
        },
        {
            "name": "PhantomLink-Markers-a-1",
            "type": "Markers",
            "source_id": "phantomlink-markers-a-1",
            "channel_count": 1,
            "nominal_rate_hz": 0.0,
            "channel_format": "string",
        },
    ]


def test_settings_name_them_and_their_form(recording):
    settings = Settings(
        lsl_stream_name="Rig",
        lsl_source_id="lab-2",
        lsl_stream_type="Spikes",
        lsl_float32=True,
    )
    neural, kinematics, _, markers = session_streams(described(recording, settings=settings))
    assert (neural.name, neural.source_id, neural.type, neural.channel_format) == (
        "Rig-Neural-a-1",
        "lab-2-neural-a-1",
        "Spikes",
        "float32",
    )
    assert (kinematics.type, markers.type) == ("Kinematics", "Markers")
    assert markers.channel_format == "string"


def test_channels_have_the_labels_and_units_of_the_recording(recording):
    neural, kinematics, intention, _ = session_streams(described(recording))
    assert [channel.label for channel in neural.channels] == list(map(str, recording.unit_ids))
    assert {channel.unit for channel in neural.channels} == {"count"}
    assert [(c.label, c.unit) for c in kinematics.channels] == [
        ("vx", "mm/s"),
        ("vy", "mm/s"),
        ("x", "mm"),
        ("y", "mm"),
    ]
    assert [(c.label, c.unit) for c in intention.channels] == [
        ("target_id", "index"),
        ("target_x", "mm"),
        ("target_y", "mm"),
        ("trial_id", "index"),
    ]


def test_a_unit_that_the_recording_does_not_name_is_not_made_up(recording):
    class Without:
        """The recording, but for its behaviour."""

        def __getattr__(self, name):
            return getattr(recording, name)

        behaviour = replace(recording.behaviour, position=None, velocity=None)

    _, kinematics, intention, _ = session_streams(described(Without()))
    assert [channel.unit for channel in kinematics.channels] == [None] * 4
    assert [channel.unit for channel in intention.channels] == ["index", None, None, "index"]


def test_where_it_comes_from_is_told(recording):
    (neural, *_) = session_streams(described(recording, sha256="abc", speed=Fraction(2)))
    assert texts(neural, "software") == {"name": "PhantomLink", "version": __version__}
    assert texts(neural, "recording") | {"identifier": "", "subject": ""} == {
        "name": "small",
        "file_name": "small.nwb",
        "sha256": "abc",
        "is_synthetic": "true",
        "identifier": "",
        "subject": "",
    }
    assert texts(neural, "session") == {"code": "a-1", "speed": "2"}
    (unhashed, *_) = session_streams(described(recording))
    assert "sha256" not in texts(unhashed, "recording")


def test_a_bin_ends_at_its_stamp_on_the_clock_of_the_stream(recording):
    (neural, *_) = session_streams(
        described(recording, bin_size_ms=5.0, speed=Fraction(2), rate_hz=Fraction(400))
    )
    assert texts(neural, "bin") == {
        "width_ms": "5",
        "covers_from_seconds": "-0.0025",
        "covers_to_seconds": "0",
        "lag_of_center_seconds": "0.00125",
    }
    assert neural.nominal_rate_hz == 400.0


def test_synchronization_says_only_what_was_measured(recording):
    (neural, *_) = session_streams(described(recording, lateness=(Histogram(),)))
    assert set(texts(neural, "synchronization")) == {"time_source", "can_drop_samples"}


def test_synchronization_is_what_all_sessions_have_measured(recording):
    generator = np.random.default_rng(3)
    late_ns = [generator.integers(1_000, 200_000, 3000), generator.integers(5_000, 9_000, 500)]
    histograms = []
    for values in late_ns:
        histograms.append(Histogram())
        for value in values:
            histograms[-1].record(int(value))
    (neural, *_) = session_streams(described(recording, lateness=histograms))
    said = texts(neural, "synchronization")
    offsets = -np.concatenate(late_ns) * 1e-9
    assert float(said["offset_mean"]) == pytest.approx(offsets.mean(), rel=1e-3)
    assert float(said["offset_rms"]) == pytest.approx(np.sqrt((offsets**2).mean()), rel=1e-3)
    # A bucket is an eighth of an octave wide.
    for name, percent in (("median", 50), ("5_centile", 5), ("95_centile", 95)):
        got = float(said[f"offset_{name}"])
        assert got == pytest.approx(np.percentile(offsets, percent), rel=0.15)
    assert said["offset_count"] == "3500"


def test_what_a_recording_says_is_xml_whatever_it_is():
    """An inlet that cannot parse a description does not get the stream."""
    evil = "a\x1b[2J</value><evil/>\x00\x07\n" + "x" * 10_000_000
    info = pylsl.StreamInfo("n", "t", 1, 40.0, "int32", "id")
    append(info.desc(), Element("subject", (Element("species", evil),)))
    xml = ElementTree.fromstring(info.as_xml())
    said = xml.findtext("desc/subject/species")
    assert said.startswith(r"a\x1b[2J</value><evil/>\x00\x07\nxxx")
    assert said.endswith("x... (10000023 characters)")
    assert len(said) < 2100
