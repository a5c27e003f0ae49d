"""Entries of BRAND streams, without a Redis."""

from __future__ import annotations

import numpy as np
import pytest

from phantomlink.errors import SettingsError
from phantomlink.outputs.redis.brand_entries import NEURAL, STREAMS, EntryWriter
from phantomlink.settings.load import load_settings
from phantomlink.wire.packet import Intention, Packet


def packet_of(counts):
    return Packet(
        packet_id=7,
        sequence_number=9,
        loop=0,
        trial_id=None,
        trial_time_ms=None,
        spike_counts=np.array(counts, dtype=np.uint16),
        vx=1.0,
        vy=None,
        x=2.0,
        y=3.0,
        intention=Intention(),
    )


@pytest.mark.parametrize(
    ("count_type", "sent", "saturated"),
    [
        ("int8", [0, 127, 127, 127], 2),
        ("uint8", [0, 127, 255, 255], 1),
        ("int16", [0, 127, 255, 300], 0),
        ("uint16", [0, 127, 255, 300], 0),
        ("float64", [0, 127, 255, 300], 0),
    ],
)
def test_counts_above_the_largest_become_it_and_are_counted(count_type, sent, saturated):
    writer = EntryWriter(count_type)
    samples = writer.entries(packet_of([0, 127, 255, 300]), 1)[NEURAL]["samples"]
    assert np.frombuffer(samples, np.dtype(count_type).newbyteorder("<")).tolist() == sent
    assert writer.saturated == saturated


def test_what_is_not_there_is_nan_and_every_stream_has_the_same_stamps():
    entries = EntryWriter("int8").entries(packet_of([1]), 2**40)
    values = np.frombuffer(entries["kinematics"]["samples"], "<f8")
    assert np.array_equal(values, [1.0, np.nan, 2.0, 3.0], equal_nan=True)
    assert np.isnan(np.frombuffer(entries["intention"]["samples"], "<f8")).all()
    assert {entries[kind]["ts"] for kind in STREAMS} == {(2**40).to_bytes(8, "little")}
    assert {entries[kind]["i"] for kind in STREAMS} == {(9).to_bytes(8, "little")}


@pytest.mark.parametrize("url", ["localhost:6379", "http://host", "redis://", "redis:6379"])
def test_an_address_of_another_form_stops_the_start(url):
    with pytest.raises(SettingsError, match="redis://"):
        load_settings({}, env={"PHANTOM_BRAND_URL": url})
