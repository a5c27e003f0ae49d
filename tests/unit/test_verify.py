"""`phantomlink verify`: equal is equal, and one thing that was changed is named."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction

import msgspec
import numpy as np
import pytest

from phantomlink.captures.command import CANNOT_BE_CHECKED, DIFFERS, EQUAL, run_verify, verify_file
from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.recipe import MAX_CONTROLS, make_recipe
from phantomlink.captures.records import LOST, Control, End, Gap, Sent
from phantomlink.captures.source import SourcePackets
from phantomlink.captures.verify import Verifier
from phantomlink.cli import main
from phantomlink.engine.perturbed import apply_perturbation
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.recordings.identity import sha256_of
from phantomlink.wire.packet import packet_data
from tests.captures import AT_40, CLOCK, header_of, sent_packets, write_journal

END = End("complete", "stopped", 0, 0)
PERIOD_NS = 25_000_000


@pytest.fixture(scope="module")
def sha256(synthetic_recording):
    return sha256_of(synthetic_recording)


@pytest.fixture(scope="module")
def extreme(recording):
    """The preset, and everything that can happen to packets on their way."""
    faults = [
        {"kind": "packet_loss", "probability": 0.1},
        {"kind": "packet_duplicate", "probability": 0.1},
        {"kind": "packet_reorder", "probability": 0.1},
        {"kind": "jitter", "std_ms": 2},
    ]
    said = PRESETS["extreme"].as_json()
    wanted = parse_perturbation({"transforms": said["transforms"] + faults})
    return apply_perturbation(wanted, 7, recording.at_rate(AT_40))


@pytest.fixture(scope="module")
def session(recording, sha256, extreme):
    """Header and records of a session with everything: loop, seek, pause, speed, perturbation."""
    n = recording.at_rate(AT_40).grid.n_bins
    first = list(sent_packets(recording, [(0, b) for b in range(n - 40, n)]))
    at = first[-1].deadline_ns + PERIOD_NS
    order = [(1, b) for b in range(90)]
    second = list(sent_packets(recording, order, applied=extreme, first_number=40, deadline_ns=at))
    said = {
        "perturbation": extreme.perturbation.as_json(),
        "seed": 7,
        "perturbation_id": extreme.perturbation_id,
    }
    at = second[-1].deadline_ns + 3 * PERIOD_NS + 17
    third = list(
        sent_packets(
            recording,
            [(1, b) for b in range(500, 560)],
            applied=extreme,
            first_number=130,
            deadline_ns=at,
            speed=Fraction(3, 2),
        )
    )
    records = [
        *first,
        Control("perturbation", 0, 40, 1, 0, said),
        *second,
        Control("pause", 90, 130, 1, 0),
        Control("seek", 500, 130, 1, 0),
        Control("speed", 500, 130, 1, 0, [3, 2]),
        Control("resume", 500, 130, 1, 0),
        *third,
    ]
    return header_of(recording, sha256=sha256), records


def verified(recording, header, records):
    source = SourcePackets(recording, header.rate_hz)
    return Verifier(header, source).verify(iter(records))


def test_what_was_sent_is_equal(recording, session):
    found = verified(recording, *session)
    assert found.is_equal, found.differences
    assert found.packets == 190
    assert found.faults > 5
    assert found.gaps == 0
    assert set(found.lateness_ns) == {7000}


def test_swapped_packets_are_put_in_order(recording, session):
    header, records = session
    plain = verified(recording, header, records).digest
    swapped = list(records)
    swapped[3], swapped[4] = swapped[4], swapped[3]
    assert verified(recording, header, swapped).digest == plain


def changed(records, n, **changes):
    """The n-th packet with something changed."""
    at = [i for i, record in enumerate(records) if isinstance(record, Sent)][n]
    sent, found = records[at], list(records)
    packet = {name: changes.pop(name) for name in list(changes) if hasattr(sent.packet, name)}
    found[at] = replace(sent, packet=msgspec.structs.replace(sent.packet, **packet), **changes)
    return found, found[at]


def one_count(sent):
    counts = sent.packet.spike_counts.copy()
    counts[3] += 1
    return counts


@pytest.mark.parametrize("n", [0, 55, 150])
def test_one_count_that_was_changed_is_named(recording, session, n):
    header, records = session
    sent = [r for r in records if isinstance(r, Sent)][n]
    found = verified(recording, header, changed(records, n, spike_counts=one_count(sent))[0])
    (difference,) = found.differences
    assert difference.field == "spikes.spike_counts[3]"
    assert difference.packet_id == sent.packet.packet_id
    assert difference.sequence_number == sent.packet.sequence_number
    assert difference.got == difference.expected + 1
    assert found.by_field == {"spikes.spike_counts": 1}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vx": 1e9}, "kinematics.vx"),
        ({"trial_id": 5}, "trial_id"),
        ({"loop": 3}, "loop"),
        ({"perturbation_id": None}, "perturbation_id"),
        ({"packet_id": 10**6}, "packet_id"),
        ({"deadline_ns": 1}, "deadline_ns"),
        ({"faults": LOST}, "faults"),
        ({"delivered": 0}, "delivered"),
        ({"delay_ns": 77}, "faults"),
    ],
)
def test_anything_else_that_was_changed_is_named(recording, session, changes, field):
    header, records = session
    n = 160
    found = verified(recording, header, changed(records, n, **changes)[0])
    assert found.by_field[field]
    assert {each.sequence_number for each in found.differences} <= {n, n + 1}


def test_a_missing_packet_is_a_difference_unless_the_capture_says_so(recording, session):
    header, records = session
    torn = [r for r in records if not (isinstance(r, Sent) and r.packet.sequence_number in (7, 8))]
    found = verified(recording, header, torn)
    assert found.by_field == {"sequence_number": 1}
    torn.insert(7, Gap(7, 8, 2))
    found = verified(recording, header, torn)
    assert (found.is_equal, found.gaps) == (True, 2)


def test_deadlines_that_are_not_those_of_the_speed_are_seen(recording, session):
    header, records = session
    without = [r for r in records if not (isinstance(r, Control) and r.what == "speed")]
    assert verified(recording, header, without).by_field["deadline_ns"] == 59


# --- the command


@pytest.fixture
def capture(session, tmp_path):
    header, records = session
    return write_journal(tmp_path, header, records, END)


def test_the_command_says_equal(capture, synthetic_recording, capsys, tmp_path, monkeypatch):
    page = tmp_path / "page.json"
    command = ["verify", str(capture), "--source", str(synthetic_recording)]
    assert main([*command, "--certificate", str(page)]) == EQUAL
    out = capsys.readouterr().out
    assert out.startswith("equal: 190 packets, digest ")
    assert "faults injected as scripted" in out
    said = json.loads(page.read_text())
    assert (said["equal"], said["packets"], said["state"]) == (True, 190, "complete")
    assert "unsigned" in page.with_suffix(".txt").read_text()
    # In the data directory it is found by its digest, whatever it is called.
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(synthetic_recording, folder / "other-name.nwb")
    monkeypatch.setenv("PHANTOM_DATA_DIR", str(folder))
    assert main(["verify", str(capture), "--json"]) == EQUAL
    assert json.loads(capsys.readouterr().out)["equal"] is True


def test_the_synthetic_recording_of_a_first_start_is_found(
    capture, synthetic_recording, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "cache/phantomlink"
    folder.mkdir(parents=True)
    shutil.copy(synthetic_recording, folder / "synthetic-v1.nwb")
    monkeypatch.setenv("PHANTOM_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["verify", str(capture)]) == EQUAL
    assert "equal" in capsys.readouterr().out


def test_the_command_says_what_differs(session, synthetic_recording, tmp_path, capsys):
    header, records = session
    sent = [r for r in records if isinstance(r, Sent)][5]
    changed_records = changed(records, 5, spike_counts=one_count(sent))[0]
    path = write_journal(tmp_path, header, changed_records)
    assert main(["verify", str(path), "--source", str(synthetic_recording)]) == DIFFERS
    out = capsys.readouterr().out
    assert f"packet {sent.packet.packet_id} (sequence_number 5): spikes.spike_counts[3]" in out
    assert "the capture is recovered" in out


def test_what_cannot_be_checked_is_said(capture, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PHANTOM_DATA_DIR", str(tmp_path))
    assert main(["verify", str(capture)]) == CANNOT_BE_CHECKED
    assert "the source is not there" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "nothing.plj")]) == CANNOT_BE_CHECKED
    assert capsys.readouterr().err.endswith("nothing.plj: no such file\n")
    other = tmp_path / "other.nwb"
    other.write_bytes(b"another")
    assert run_verify(capture, other, as_json=False, certificate=None) == CANNOT_BE_CHECKED
    assert "is another recording" in capsys.readouterr().err
    (tmp_path / "x.plj").write_bytes(b"no")
    assert main(["verify", str(tmp_path / "x.plj")]) == CANNOT_BE_CHECKED


# --- recipes and logs


def test_a_recipe_stands_for_the_capture(recording, session, synthetic_recording, tmp_path):
    header, records = session
    digest = verified(recording, header, records).digest
    recipe = make_recipe(header, records, digest)
    source = SourcePackets(recording, header.rate_hz)
    computed = list(recipe.packets(source))
    sent = [r.packet for r in records if isinstance(r, Sent)]
    assert [source.payload(p) for p in computed] == [source.payload(p) for p in sent]
    assert [p.sequence_number for p in computed] == list(range(190))
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.said))
    assert verify_file(path, synthetic_recording).is_equal
    path.write_text(json.dumps({**recipe.said, "seed": 1}))
    assert verify_file(path, synthetic_recording).is_equal  # it began without a perturbation
    path.write_text(json.dumps({**recipe.said, "packets": 189}))
    assert not verify_file(path, synthetic_recording).is_equal


def test_a_capture_that_cannot_be_told_has_no_recipe(recording, session):
    header, records = session
    assert "missing" in make_recipe(header, [*records, Gap(190, 191, 2)], "")
    assert "no packet" in make_recipe(header, [], "")
    many = [Control("seek", 0, 0, 0, 0)] * (MAX_CONTROLS + 1)
    assert "10003 control events" in make_recipe(header, [*many, *records], "")


def test_a_clients_own_log_is_verified(recording, session, sha256, synthetic_recording, tmp_path):
    _, records = session
    source = SourcePackets(recording, AT_40)
    metadata = {"dataset": "small", "sha256": sha256, "bin_size_ms": 25.0}
    (control,) = [r for r in records if isinstance(r, Control) and r.what == "perturbation"]
    lines = [{"type": "metadata", "data": metadata | {"perturbation": None, "seed": 0}}]
    for record in records:
        if isinstance(record, Sent) and record.delivered:
            data = packet_data(record.packet, source.header, 1.0)
            lines.append({"type": "data", "data": data})
        elif record is control:
            lines.append({"type": "metadata", "data": metadata | control.detail})
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(json.dumps, lines)))
    found = verify_file(log, synthetic_recording)
    assert found.is_equal, found.found.differences
    assert found.found.packets == sum(r.delivered > 0 for r in records if isinstance(r, Sent))
    lines[20]["data"]["spikes"]["spike_counts"][0] += 1
    log.write_text("\n".join(map(json.dumps, lines)))
    (difference,) = verify_file(log, synthetic_recording).found.differences
    assert (difference.field, difference.packet_id) == ("spikes", lines[20]["data"]["packet_id"])


def test_a_whole_minute_takes_a_second(recording, session):
    """Memory is bounded by what is compared at once, whatever the length: blocks are let go."""
    header, records = session
    source = SourcePackets(recording, header.rate_hz)
    Verifier(header, source).verify(iter(records))
    assert len(source._blocks) <= 4


def test_journals_say_the_same_as_records(recording, session, capture):
    header, records = session
    journal = Journal(capture)
    found = Verifier(header, SourcePackets(recording, AT_40)).verify(journal.records())
    assert found.digest == verified(recording, header, records).digest
    assert np.all(np.array(found.lateness_ns) == 7000)
    assert journal.header.clock == CLOCK
