"""Captures as NWB: played again they are bit for bit what was sent."""

import json
import shutil
from fractions import Fraction

import h5py
import numpy as np
import pytest

from phantomlink.captures.command import verify_file
from phantomlink.captures.records import Control, End, Gap, Sent
from phantomlink.captures.timeline import captured_bins
from phantomlink.cli import main
from phantomlink.engine.perturbed import apply_perturbation
from phantomlink.perturbation.presets import PRESETS
from phantomlink.recordings.identity import sha256_of
from phantomlink.recordings.recording import open_recording
from tests.captures import AT_40, header_of, sent_packets, write_journal


@pytest.fixture(scope="module")
def converted(recording, tmp_path_factory):
    """Records with a perturbation, a wrap, a seek and a gap; and the file made of them."""
    folder = tmp_path_factory.mktemp("converted")
    n = recording.at_rate(AT_40).grid.n_bins
    applied = apply_perturbation(PRESETS["moderate"], 7, recording.at_rate(AT_40))
    order = [(0, b) for b in range(n - 130, n)] + [(1, b) for b in range(60)]
    order += [(1, b) for b in range(300, 420)]
    packets = list(sent_packets(recording, order, applied=applied))
    seek = Control("seek", 300, 190, 1, 7)
    kept = [p for p in packets if p.packet.sequence_number not in range(250, 254)]
    records = [*kept[:190], seek, *kept[190:250], Gap(250, 253, 4), *kept[250:]]
    said = applied.perturbation.as_json()
    header = header_of(
        recording, perturbation=said, seed=7, perturbation_id=applied.perturbation_id
    )
    path = write_journal(folder, header, records, End("torn", "4 packets are missing", 0, 4))
    out = folder / "capture.nwb"
    assert main(["convert", str(path), str(out)]) == 0
    return records, header, out


def test_played_again_counts_and_kinematics_are_bit_equal(converted):
    records, header, out = converted
    sent = {r.packet.sequence_number: r.packet for r in records if isinstance(r, Sent)}
    with open_recording(out) as again:
        bins = again.at_rate(AT_40)
        assert bins.grid.n_bins == 310
        assert bins.unit_ids == header.unit_ids
        block = bins.read(0, 310)
        trials = {t.trial_id: t for t in again.trials}
    for k in range(310):
        packet = sent.get(k)
        if packet is None:
            assert not block.counts[k].any()
            continue
        assert block.counts[k].tolist() == packet.spike_counts.tolist()
        got = [None if np.isnan(v) else v for v in block.kinematics[k].tolist()]
        assert got == [packet.vx, packet.vy, packet.x, packet.y]
        row = block.trial_rows[k]
        assert (row >= 0) == (packet.trial_id is not None), k
        if row >= 0:
            assert trials[row].columns["source_trial_id"] == packet.trial_id
            aim = packet.intention
            assert (trials[row].target_x, trials[row].target_y) == (aim.target_x, aim.target_y)
    assert block.observed is not None
    unobserved = [k for k in range(310) if k not in sent or not sent[k].observed]
    assert np.flatnonzero(~block.observed).tolist() == unobserved
    assert {250, 251, 252, 253} < set(unobserved)


def test_it_verifies_without_the_journal(converted, synthetic_recording):
    verified = verify_file(converted[2], synthetic_recording)
    assert verified.is_equal, verified.found.differences
    assert (verified.state, verified.found.packets, verified.found.gaps) == ("torn", 306, 4)


@pytest.mark.parametrize("n", [0, 700, -1])
def test_one_spike_that_was_added_by_hand_is_named(converted, synthetic_recording, tmp_path, n):
    changed = tmp_path / "changed.nwb"
    shutil.copy(converted[2], changed)
    with h5py.File(changed, "r+") as file:
        ends = file["units/spike_times_index"][:].astype(int)
        unit = int(np.searchsorted(ends, n % ends[-1], side="right"))
        times = file["units/spike_times"]
        k = int(times[n] * 40)
        # Moved into the next bin, or the one before where there is none.
        other = k + 1 if k < 309 and k + 1 not in range(250, 254) else k - 1
        first = 0 if unit == 0 else ends[unit - 1]
        own = times[first : ends[unit]]
        own[n % ends[-1] - first] = (other + 0.5) / 40
        times[first : ends[unit]] = np.sort(own)
    verified = verify_file(changed, synthetic_recording)
    assert not verified.is_equal
    assert verified.found.by_field == {"spikes.spike_counts": 2}
    assert {each.field for each in verified.found.differences} == {f"spikes.spike_counts[{unit}]"}
    assert {each.sequence_number for each in verified.found.differences} == {k, other}


def test_a_file_that_is_no_captures_cannot_be_checked(synthetic_recording, capsys):
    assert main(["verify", str(synthetic_recording), "--source", str(synthetic_recording)]) == 2
    assert "not a capture" in capsys.readouterr().err


def test_a_recipe_is_made_a_recording_that_plays(recording, synthetic_recording, tmp_path, capsys):
    applied = apply_perturbation(PRESETS["moderate"], 7, recording.at_rate(AT_40))
    header = header_of(
        recording,
        perturbation=applied.perturbation.as_json(),
        perturbation_id=applied.perturbation_id,
        seed=7,
        sha256=sha256_of(synthetic_recording),
    )
    packets = list(sent_packets(recording, [(0, b) for b in range(200)], applied=applied))
    journal = write_journal(tmp_path, header, packets, End("complete", "", 200, 0))
    recipe, out = tmp_path / "recipe.json", tmp_path / "again.nwb"
    assert main(["convert", str(journal), str(recipe)]) == 0
    convert = ["convert", str(recipe), str(out), "--source", str(synthetic_recording)]
    assert main(convert) == 0
    with open_recording(out) as again:
        block = again.at_rate(AT_40).read(0, 200)
    assert block.counts.tolist() == [p.packet.spike_counts.tolist() for p in packets]
    assert verify_file(out, synthetic_recording).is_equal
    # Another digest, and another source.
    said = json.loads(recipe.read_text())
    recipe.write_text(json.dumps({**said, "packets": 199}))
    assert main([*convert, "--overwrite"]) == 2
    assert "other ones" in capsys.readouterr().err
    recipe.write_text(json.dumps({**said, "sha256": "0" * 64}))
    assert main([*convert, "--overwrite"]) == 2
    assert "another recording" in capsys.readouterr().err


def test_a_trial_that_had_begun_starts_at_0_and_says_when(recording):
    inside = next(t for t in recording.trials if t.start_time > 0)
    begin = recording.at_rate(AT_40).grid.index_of(inside.start_time) + 10
    packets = sent_packets(recording, [(0, b) for b in range(begin, begin + 5)])
    (visit,) = captured_bins(header_of(recording), packets).visits
    assert (visit.start, visit.stop) == (0.0, pytest.approx(0.1125))
    assert visit.columns["source_start_time"] == inside.start_time


def test_it_opens_in_pynwb_and_nothing_in_it_is_critical(converted):
    from nwbinspector import Importance, inspect_nwbfile  # noqa: PLC0415
    from pynwb import NWBHDF5IO  # noqa: PLC0415

    records, header, out = converted
    with NWBHDF5IO(out, "r") as io:
        nwb = io.read()
        sent = nwb.acquisition["sent"]
        assert len(sent) == 310
        assert sent["packet_id"][251] == -1
        assert sent["sequence_number"][12] == 12
        assert "seek" in list(nwb.processing["phantomlink"]["control"]["what"])
        assert '"digest"' in str(nwb.scratch["phantomlink"].data)
        assert "(torn)" in nwb.session_description
    messages = inspect_nwbfile(nwbfile_path=out, importance_threshold=Importance.CRITICAL)
    assert [m.message for m in messages] == []
    assert records
    assert header.rate_hz == Fraction(40)


def test_binned_counts_are_an_addition_that_changes_nothing_else(converted, tmp_path):
    from pynwb import NWBHDF5IO  # noqa: PLC0415

    _, _, plain = converted
    out = tmp_path / "binned.nwb"
    journal = next(plain.parent.glob("*.plj"))
    assert main(["convert", str(journal), str(out), "--binned"]) == 0
    with open_recording(plain) as one, open_recording(out) as other:
        n_bins = one.at_rate(AT_40).grid.n_bins
        mine, others = (opened.at_rate(AT_40).read(0, n_bins) for opened in (one, other))
    assert np.array_equal(mine.counts, others.counts)
    with NWBHDF5IO(out, "r") as io:
        binned = io.read().processing["ecephys"]["counts"]
        assert binned.bin_width_in_ms == 25
        assert np.array_equal(binned.data[:, 0, :n_bins].T, mine.counts)
    assert main(["convert", str(journal), str(tmp_path / "x.xdf"), "--binned"]) == 2


def test_what_has_no_packet_or_another_ending_is_refused(recording, tmp_path, capsys):
    path = write_journal(tmp_path, header_of(recording), [], End("complete", "", 0, 0))
    assert main(["convert", str(path), str(tmp_path / "x.nwb")]) == 2
    assert "no packet" in capsys.readouterr().err
    assert main(["convert", str(path), str(tmp_path / "x.mat")]) == 2
    assert "ends in .nwb" in capsys.readouterr().err
    assert not list(tmp_path.glob("x.*"))
