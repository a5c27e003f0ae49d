import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phantomlink.engine.pace import MAX_SPEED, MIN_SPEED
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.presets import PRESETS
from phantomlink.state import form
from phantomlink.state.file import (
    SessionState,
    StateFormError,
    dump_state,
    parse_state,
    read_state,
    write_state,
)
from phantomlink.state.form import DatasetFile, RecordingIdentity, set_aside

IDENTITY = RecordingIdentity("mc_maze", 29_236_944, 1_795_375_331_099_819_895)
STATE = SessionState(
    code="swift-neural-42",
    created_at=datetime(2026, 1, 1, 12, 0, 0, 25_000, UTC),
    rate_hz=Fraction(100, 3),
    speed=Fraction(3, 2),
    bin_index=1234,
    sequence_number=5678,
    loop=2,
    is_paused=True,
    is_stopped=False,
)
WHOLE = dump_state(IDENTITY, [STATE, replace(STATE, code="b", is_paused=False)])

counts = st.integers(0, 2**53 - 1)
states = st.builds(
    SessionState,
    code=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    created_at=st.datetimes(timezones=st.just(UTC)),
    rate_hz=st.fractions(1, 1000, max_denominator=10**6),
    speed=st.fractions(MIN_SPEED, MAX_SPEED, max_denominator=10**6),
    bin_index=counts,
    sequence_number=counts,
    loop=counts,
    is_paused=st.booleans(),
    is_stopped=st.booleans(),
    perturbation=st.sampled_from([NO_PERTURBATION, *PRESETS.values()]),
    seed=st.integers(0, 2**63 - 1),
    outputs=st.dictionaries(st.sampled_from(["lsl", "brand", "later"]), st.booleans()),
    dataset=st.none() | st.text(max_size=10),
    dataset_file=st.none() | st.builds(DatasetFile, counts, counts, st.none() | st.just("ab" * 32)),
    test_trials=st.none() | st.lists(counts, min_size=1, max_size=4).map(tuple),
    was_stopped=st.booleans(),
)


@given(st.lists(states, unique_by=lambda state: state.code, max_size=5))
def test_what_is_written_is_read(sessions):
    assert parse_state(dump_state(IDENTITY, sessions), IDENTITY) == sessions


@given(st.integers(0, len(WHOLE) - 3))
def test_a_file_that_was_cut_off_is_noticed(length):
    with pytest.raises(StateFormError):
        parse_state(WHOLE[:length], IDENTITY)


@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_damaged_byte_never_gives_more_than_another_value(position, flip):
    """Either it is noticed, or what is read has the right form."""
    damaged = bytearray(WHOLE)
    damaged[position] ^= flip
    try:
        sessions = parse_state(bytes(damaged), IDENTITY)
    except StateFormError:
        return
    assert parse_state(dump_state(IDENTITY, sessions), IDENTITY) == sessions


@given(st.binary(max_size=200) | st.just(b"[" * 100_000))
def test_any_bytes_are_either_understood_or_refused(data):
    with pytest.raises(StateFormError):
        parse_state(data, IDENTITY)


def changed(**members):
    content = json.loads(WHOLE)
    content["sessions"][0] |= members
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "a/b"), ("code", ""), ("code", 7), ("code", "b"), ("code", "a\n"),
        ("created_at", "yesterday"), ("created_at", "2026-01-01T00:00:00"), ("created_at", 5),
        ("rate_hz", "0"), ("rate_hz", "1001"), ("rate_hz", 40), ("rate_hz", "1/0"),
        ("rate_hz", "1e999999999"), ("rate_hz", "nan"), ("speed", "-1"), ("speed", "101"),
        ("bin_index", -1), ("bin_index", 1.5), ("bin_index", True), ("bin_index", None),
        ("bin_index", 2**60), ("sequence_number", "5"), ("loop", -1), ("is_paused", 1),
        ("is_stopped", None), ("is_stopped", "no"), ("seed", -1), ("seed", 2**63), ("seed", "1"),
        ("outputs", ["lsl"]), ("outputs", {"lsl": 1}),
        ("perturbation", "loud"), ("perturbation", 5),
    ],
)  # fmt: skip
def test_a_member_of_the_wrong_form_is_named(name, value):
    with pytest.raises(StateFormError, match="twice" if value == "b" else rf"\[0\]\.{name}"):
        parse_state(changed(**{name: value}), IDENTITY)


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("format", "other", "format"), ("version", 2, "version: got 2, takes 1"),
        ("version", True, "version"), ("version", None, "version"), ("recording", {}, "recording"),
        ("sessions", {}, "sessions"), ("sessions", [3], r"sessions\[0\]"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused(member, value, said):
    content = json.loads(WHOLE) | {member: value}
    with pytest.raises(StateFormError, match=said):
        parse_state(json.dumps(content).encode(), IDENTITY)


@pytest.mark.parametrize(
    "names",
    [
        ["perturbation"], ["seed"], ["outputs"], ["dataset"], ["dataset_file"], ["test_trials"],
        ["was_stopped"],
        ["perturbation", "seed", "outputs", "dataset", "dataset_file", "test_trials",
         "was_stopped"],
    ],
)  # fmt: skip
def test_a_file_of_before_there_was_a_member_is_read_without_it(names):
    """By name: a member that a later version adds without a default would lose every session."""
    content = json.loads(WHOLE)
    for entry in content["sessions"]:
        for name in names:
            del entry[name]
    assert parse_state(json.dumps(content).encode(), IDENTITY) == parse_state(WHOLE, IDENTITY)


@pytest.mark.parametrize(
    "name",
    ["code", "created_at", "rate_hz", "speed", "bin_index", "sequence_number", "loop",
     "is_paused", "is_stopped"],
)  # fmt: skip
def test_a_member_that_was_always_there_is_missed(name):
    content = json.loads(WHOLE)
    del content["sessions"][0][name]
    with pytest.raises(StateFormError, match=rf"\[0\]\.{name}: got none, which is wrong"):
        parse_state(json.dumps(content).encode(), IDENTITY)


def test_files_of_earlier_versions_have_a_flag_for_each_kind_of_output():
    content = json.loads(WHOLE)
    for entry in content["sessions"]:
        del entry["outputs"]
    content["sessions"][0] |= {"has_lsl": False}
    content["sessions"][1] |= {"has_lsl": True, "has_brand": True}
    first, second = parse_state(json.dumps(content).encode(), IDENTITY)
    assert first.outputs == {"lsl": False}
    assert second.outputs == {"lsl": True, "brand": True}
    content["sessions"][0]["has_lsl"] = 1
    with pytest.raises(StateFormError, match=r"\[0\]\.outputs"):
        parse_state(json.dumps(content).encode(), IDENTITY)


def test_a_member_that_is_missing_is_named_and_one_that_is_not_known_passed_over():
    content = json.loads(WHOLE)
    content["sessions"][1]["colour"] = 7
    assert parse_state(json.dumps(content).encode(), IDENTITY)[0] == STATE
    del content["sessions"][1]["loop"]
    with pytest.raises(StateFormError, match=r"sessions\[1\]\.loop: got none"):
        parse_state(json.dumps(content).encode(), IDENTITY)


def test_another_recording_has_another_file(tmp_path):
    path = tmp_path / "a.nwb"
    path.write_bytes(b"12345")
    one = RecordingIdentity.of("../a b", path)
    assert one.size_bytes == 5
    os.utime(path, ns=(1, 1))
    other = RecordingIdentity.of("../a b", path)
    names = {one.file_name, other.file_name, replace(other, dataset="c").file_name}
    assert len(names) == 3
    assert all("/" not in name and " " not in name for name in names)
    with pytest.raises(StateFormError, match="recording"):
        parse_state(dump_state(one, []), other)


def test_the_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "sessions.json"
    assert read_state(path, IDENTITY) == []
    write_state(path, IDENTITY, [STATE])
    assert read_state(path, IDENTITY) == [STATE]
    assert path.stat().st_mode & 0o077 == 0

    def disk_full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(form.Path, "write_bytes", disk_full)
    with pytest.raises(OSError, match="No space"):
        write_state(path, IDENTITY, [])
    assert read_state(path, IDENTITY) == [STATE]
    assert list(path.parent.iterdir()) == [path]


def test_what_is_set_aside_is_kept(tmp_path):
    path = tmp_path / "sessions.json"
    kept = []
    for text in ("one", "two"):
        path.write_text(text)
        kept.append(set_aside(path))
        assert not path.exists()
    assert [other.read_text() for other in kept] == ["one", "two"]
