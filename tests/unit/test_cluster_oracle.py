"""The checker of `tools/cluster.py`: every packet anew, from recording, perturbation and seed."""

import copy
from fractions import Fraction

import pytest

from phantomlink.captures.source import SourcePackets
from phantomlink.recordings.recording import open_recording
from phantomlink.wire.packet import packet_data
from tools.cluster_oracle import Oracle

NOISE = {"transforms": [{"kind": "gaussian_noise", "noise_std": 0.5}]}


@pytest.fixture(scope="module")
def sent(synthetic_recording):
    """What a session sends at a sequence number, with seed 3."""
    source = SourcePackets(open_recording(synthetic_recording), Fraction(40))
    applied, n_bins = source.applied(NOISE, 3), source.bins.grid.n_bins

    def at(number):
        loop, bin_index = divmod(number, n_bins)
        packet, _ = source.packet(bin_index, loop, number, applied)
        return packet_data(packet, source.header, 1.0)

    return at, n_bins


def test_what_is_sent_is_right_in_any_loop(synthetic_recording, sent):
    at, n_bins = sent
    oracle = Oracle(synthetic_recording, NOISE, 3)
    for number in (0, 1, n_bins - 1, n_bins, 3 * n_bins + 7):
        assert oracle.is_right(at(number))
        assert oracle.is_right(at(number) | {"timestamp": 7.0})


def test_whatever_is_not_that_packet_is_wrong(synthetic_recording, sent):
    at, n_bins = sent
    oracle = Oracle(synthetic_recording, NOISE, 3)
    count = copy.deepcopy(at(9))
    count["spikes"]["spike_counts"][3] += 1
    place = copy.deepcopy(at(9))
    place["kinematics"]["vx"] += 1e-9
    other_bin = at(9) | {"sequence_number": 10}
    other_loop = at(9) | {"sequence_number": 9 + n_bins}
    for wrong in (count, place, other_bin, other_loop):
        assert not oracle.is_right(wrong)
    assert not Oracle(synthetic_recording, NOISE, 4).is_right(at(9))
    assert not Oracle(synthetic_recording, None, 3).is_right(at(9))
