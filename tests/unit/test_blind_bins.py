"""Blind bins: whatever is made of them is the same, whatever the hidden values are."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.perturbed import SentRows
from phantomlink.errors import InvalidParameterError, NoMatchingBinsError
from phantomlink.evaluation.truth import read_hidden
from phantomlink.outputs.lsl.markers import bin_markers
from phantomlink.recordings.blind import BlindBins, hidden_trials
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic.named import synthesize_named
from phantomlink.recordings.trials import Filter
from phantomlink.wire.canonical import canonical_payload
from phantomlink.wire.packet import StreamHeader, packet_data
from tests.virtual.test_scores import MovingBins


class Changed(MovingBins):
    """The same recording with other truth in trials 2 and 4, and in no other."""

    def read(self, start, stop):
        block = super().read(start, stop)
        kinematics = block.kinematics.copy()
        kinematics[np.isin(block.trial_rows, (2, 4))] *= -3.0
        return type(block)(block.start, block.counts, kinematics, block.trial_rows)


def payloads(bins):
    assembler, header = PacketAssembler(bins), StreamHeader(3, 25.0)
    rows = SentRows(assembler, bins.read(0, bins.grid.n_bins), 0, None)
    return [
        canonical_payload(packet_data(rows.packet(k, k), header, 1.5)) for k in range(len(rows))
    ]


def test_packets_do_not_depend_on_what_is_hidden():
    first, second = MovingBins(), Changed()
    assert payloads(first) != payloads(second)
    assert payloads(BlindBins(first, (2, 4))) == payloads(BlindBins(second, (2, 4)))


def test_only_the_test_trials_are_hidden():
    bins = MovingBins()
    blind = BlindBins(bins, (2, 4))
    block, whole = blind.read(30, 210), bins.read(30, 210)
    hidden = np.isin(whole.trial_rows, (2, 4))
    assert np.isnan(block.kinematics[hidden]).all()
    assert (block.trial_rows[hidden] == -1).all()
    np.testing.assert_array_equal(block.kinematics[~hidden], whole.kinematics[~hidden])
    np.testing.assert_array_equal(block.trial_rows[~hidden], whole.trial_rows[~hidden])
    np.testing.assert_array_equal(block.counts, whole.counts)
    assert not block.kinematics.flags.writeable
    # A block without any is the one that was read.
    np.testing.assert_array_equal(blind.read(0, 30).kinematics, bins.read(0, 30).kinematics)


def test_trials_markers_and_filters_tell_nothing_of_them(tmp_path):
    synthesize_named(tmp_path / "named.nwb", seconds=5)
    with open_recording(tmp_path / "named.nwb") as recording:
        bins = recording.at_rate(Fraction(40))
        blind = BlindBins(bins, (1,))
        said = blind.trials[1].as_json()
        assert said.pop("trial_id") == 1
        assert set(said.values()) == {None}
        assert len(blind.trials) == len(bins.trials)
        start, stop = bins.trials.ranges(Filter(trial_id=1), bins.grid)[0]
        markers = bin_markers(blind.trials, blind.grid)
        assert any(start <= at < stop for at in bin_markers(bins.trials, bins.grid))
        assert not any(start <= at < stop for at in markers)
        with pytest.raises(NoMatchingBinsError):
            blind.trials.ranges(Filter(trial_id=1), blind.grid)
        played = blind.trials.ranges(Filter(reach_id=0), blind.grid)
        assert not any(first < stop and start < last for first, last in played)


def test_what_is_hidden_is_known_to_whoever_scores():
    bins = MovingBins()
    hidden = read_hidden(BlindBins(bins, (2,)))
    assert sorted(hidden) == list(range(80, 116))
    kinematics, trial_row = hidden[90]
    assert trial_row == 2
    np.testing.assert_array_equal(kinematics, bins.kinematics[90])
    assert read_hidden(bins) == {}
    assert hidden_trials(bins) == frozenset()


def test_trials_that_there_are_not_are_refused():
    for trials in ((), (10,), (-1, 2)):
        with pytest.raises(InvalidParameterError, match=r"blind.test_trials: got .*0 to 9"):
            BlindBins(MovingBins(), trials)
