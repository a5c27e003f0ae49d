"""Captures while a session plays on virtual time: what is kept, and what is missed is said."""

import math
from contextlib import asynccontextmanager
from fractions import Fraction

import pytest
import trio

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.records import Control, Gap, Sent
from phantomlink.captures.source import SourcePackets
from phantomlink.captures.verify import Verifier
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.fanout import Encoders, Release
from phantomlink.engine.parts import blind_parts
from phantomlink.engine.session import Session
from phantomlink.errors import CaptureConflictError, CaptureError, CaptureRoomError, DiskFullError
from phantomlink.files.slots import LocalSlots
from phantomlink.outputs.capture.captures import Captures
from phantomlink.outputs.capture.described import Descriptions
from phantomlink.outputs.capture.limits import CaptureLimits, FolderUse
from phantomlink.outputs.capture.recorder import Recorder
from phantomlink.outputs.capture.running import RunningCapture, make_capture_id
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.trials import Filter
from phantomlink.settings import Settings
from phantomlink.wire.packet import Intention, StreamHeader
from tests.captures import AT_40, sent_packets
from tests.fakes import TrioClock, VirtualClock, listen, make_parts, playing
from tests.full_disk import files_of_at_most

HELD_BACK = {"transforms": [{"kind": "jitter", "std_ms": 30}]}
OVERTAKEN = {
    "transforms": [
        {"kind": "packet_reorder", "probability": 0.25},
        {"kind": "packet_loss", "probability": 0.1},
        {"kind": "packet_duplicate", "probability": 0.1},
    ]
}
NO_LIMITS = CaptureLimits(10**12, 10**12, 0)


@pytest.fixture(scope="module")
def releases(synthetic_recording):
    with open_recording(synthetic_recording) as recording:
        packets = list(sent_packets(recording, [(0, n) for n in range(60)]))
        encoders = Encoders(StreamHeader(len(recording.unit_ids), 25.0))
    made = []
    for sent in packets:
        release = Release(sent.packet, encoders)
        release.stamp(sent.deadline_ns, sent.left_at_ns / 1e9)
        made.append(release)
    return made


def numbers(records):
    return [r.packet.sequence_number for r in records if isinstance(r, Sent)]


def test_a_full_queue_counts_and_says_which_are_missing(releases):
    recorder = Recorder(session=None, wanted=NO_FILTER, most=10)
    for release in releases[:15]:
        recorder.offer_nowait(release)
    assert numbers(recorder.take()) == list(range(10))
    for release in releases[15:20]:
        recorder.offer_nowait(release)
    found = list(recorder.take())
    assert found[0] == Gap(10, 14, 5)
    assert numbers(found) == list(range(15, 20))
    for release in releases[20:40]:
        recorder.offer_nowait(release)
    recorder.finish()
    found = list(recorder.take())
    assert (numbers(found), found[-1]) == (list(range(20, 30)), Gap(30, 39, 10))


def test_a_packet_that_is_sent_twice_is_one_record(releases):
    recorder = Recorder(session=None, wanted=NO_FILTER, most=10)
    for release in (releases[0], releases[0], releases[1]):
        recorder.offer_nowait(release)
    assert numbers(recorder.take()) == [0, 1]
    # Also when the writer comes in between.
    recorder.offer_nowait(releases[1])
    assert numbers(recorder.take()) == []


def test_names_are_of_the_session_unless_it_is_private():
    assert make_capture_id("lab-1").split("-", 1)[1].startswith("lab-1-")


# --- with sessions


def running(recording, clock=None, hidden=None):
    parts = make_parts(recording.at_rate(AT_40), recording=recording, clock=clock)
    if hidden is not None:
        parts = blind_parts(parts, hidden)
    return playing(Session("test", parts))


def begun(session, folder, wanted=NO_FILTER, limits=NO_LIMITS):
    described = Descriptions(Settings()).of(session, session.code)
    capture = RunningCapture(session, wanted, "", folder, math.inf, limits, described)
    capture.open()
    return capture


@asynccontextmanager
async def written(capture):
    """The capture is written meanwhile."""

    async def write():
        while True:
            await trio.sleep(0.1)
            capture.write()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        yield
        nursery.cancel_scope.cancel()


def verified(recording, path):
    journal = Journal(path)
    found = Verifier(journal.header, SourcePackets(recording, AT_40)).verify(journal.records())
    assert journal.state == "complete", journal.end
    return found


@pytest.mark.parametrize("wanted", [NO_FILTER, Filter(trial_id=2)])
async def test_whatever_steers_it_every_packet_is_kept(autojump_clock, recording, tmp_path, wanted):
    async with running(recording) as session:
        sink = listen(session, wanted)
        await trio.sleep(1.01)
        capture = begun(session, tmp_path, wanted)
        n_before = len(sink.packets)
        async with written(capture):
            await trio.sleep(2)
            session.pause()
            await trio.sleep(1)
            session.seek(500)
            session.resume()
            await trio.sleep(2)
            session.set_speed(Fraction(5, 2))
            await trio.sleep(10)  # wraps
            session.set_perturbation(PRESETS["extreme"], 11)
            await trio.sleep(3)
            session.unsubscribe(sink)
            await trio.sleep(1)
            if wanted == NO_FILTER:
                # A filtered playhead goes with its last listener, and another begins anew.
                sink_again = listen(session, wanted)
                await trio.sleep(1)
        capture.detach("enough")
        capture.finish()
    found = verified(recording, capture.path)
    assert found.is_equal, found.differences
    kept = numbers(Journal(capture.path).records())
    assert kept[: len(sink.packets) - n_before] == sink.sequence[n_before:]
    assert found.packets == capture.packets > 500
    if wanted == NO_FILTER:
        assert kept[-1] == sink_again.sequence[-1]


class OftenStalling(VirtualClock):
    """Virtual time that is held up again and again."""

    def __init__(self):
        self.ticks = 0

    async def wait_until(self, due_ns):
        self.ticks += 1
        await super().wait_until(due_ns)
        if self.ticks % 11 == 0:
            await trio.sleep(0.3)
        return self.now_ns()


@pytest.mark.parametrize("clock", [VirtualClock, OftenStalling])
@pytest.mark.parametrize("faults", [HELD_BACK, OVERTAKEN])
async def test_where_deadlines_moved_is_said_whatever_is_done_to_packets(
    autojump_clock, recording, tmp_path, faults, clock
):
    async with running(recording, clock()) as session:
        session.set_perturbation(parse_perturbation(faults), 1)
        listen(session)
        capture = begun(session, tmp_path)
        async with written(capture):
            for n in range(60):
                await trio.sleep(0.21)
                session.seek(10 * n)
                await trio.sleep(0.23)
                session.set_perturbation(parse_perturbation(faults), n)
        capture.detach("enough")
        capture.finish()
    found = verified(recording, capture.path)
    assert found.is_equal, found.differences
    records = Journal(capture.path).records()
    held = [r.sequence_number for r in records if isinstance(r, Control) and r.what == "hold"]
    assert 0 < len(held) < 120


async def test_a_disk_that_stands_still_tears_it_and_the_gaps_add_up(
    autojump_clock, recording, tmp_path
):
    async with running(recording) as session:
        sink = listen(session)
        await trio.sleep(1)
        capture = begun(session, tmp_path)
        n_before = len(sink.packets)
        await trio.sleep(5)  # nobody writes
        capture.write()
        await trio.sleep(1)
        capture.detach("enough")
        capture.finish()
        assert sink.sequence == list(range(len(sink.packets))), "nobody else notices"
    assert (capture.state, capture.lost_packets) == ("torn", 100)
    records = list(Journal(capture.path).records())
    gaps = [r for r in records if isinstance(r, Gap)]
    missing = {n for gap in gaps for n in range(gap.first, gap.last + 1)}
    assert sorted(missing | set(numbers(records))) == sink.sequence[n_before:]
    assert Journal(capture.path).header.capture_id == capture.capture_id


@pytest.mark.parametrize("has_room_again", [True, False])
async def test_a_full_disk_tears_it_and_what_is_missing_is_counted(
    autojump_clock, recording, tmp_path, has_room_again
):
    async with running(recording) as session:
        listen(session)
        capture = begun(session, tmp_path)
        await trio.sleep(1)
        capture.write()
        kept = capture.packets
        with files_of_at_most(capture.path.stat().st_size + 1000):
            await trio.sleep(1)
            capture.write()
            assert capture.is_over
            if not has_room_again:
                capture.finish()
        if has_room_again:
            capture.finish()
    n_sent = session.main.timing.packets
    assert (capture.state, capture.reason) == ("torn", "it cannot be written: File too large")
    assert capture.packets + capture.lost_packets == n_sent
    found = numbers(Journal(capture.path).records())
    assert found == list(range(n_sent if has_room_again else len(found)))
    assert len(found) == capture.packets >= kept
    assert (capture.lost_packets == 0) == has_room_again


async def test_one_that_cannot_be_begun_leaves_nothing_and_lets_go_of_its_session(
    recording, tmp_path
):
    async with running(recording, TrioClock()) as session:
        captures = Captures(tmp_path, LocalSlots(1), NO_LIMITS, Settings())
        with files_of_at_most(50), pytest.raises(CaptureError, match="File too large"):
            await captures.start(session, NO_FILTER, "", keeps_playing=True)
        assert not session.is_in_use
        assert session.n_listening == 0
        assert list(tmp_path.iterdir()) == list(captures) == []
        started = await captures.start(session, NO_FILTER, "")
        assert (await captures.stop(started.id)).state == "complete"


async def test_a_limit_tears_it(autojump_clock, recording, tmp_path):
    async with running(recording) as session:
        listen(session)
        capture = begun(session, tmp_path, limits=CaptureLimits(2000, 10**9, 0))
        await trio.sleep(1)
        capture.write()
        capture.sync(FolderUse(0, 0))
        assert capture.is_over
        capture.finish()
    assert capture.state == "torn"
    assert "CAPTURE_MAX_MB" in end_of(capture.path).reason


def end_of(path):
    journal = Journal(path)
    list(journal.records())
    return journal.end


async def test_a_captured_session_is_in_use_and_its_end_ends_the_capture(
    autojump_clock, recording, tmp_path
):
    async with running(recording) as session:
        capture = begun(session, tmp_path)
        assert session.is_in_use
        assert not capture.is_over
        session.close(4410, "session deleted")
        assert capture.is_over
        assert capture.reason == "session deleted"
        assert not session.is_in_use
        capture.finish()
    assert end_of(capture.path).reason == "session deleted"


async def test_of_a_blind_session_it_holds_what_was_sent(autojump_clock, recording, tmp_path):
    hidden = {1, 2}
    async with running(recording, hidden=hidden) as session:
        listen(session)
        capture = begun(session, tmp_path)
        async with written(capture):
            await trio.sleep(12)
        capture.detach("enough")
        capture.finish()
    journal = Journal(capture.path)
    assert journal.header.blind == (1, 2)
    for trial in journal.header.trials:
        told = {name for name, value in trial.items() if value is not None}
        assert (told == {"trial_id"}) == (trial["trial_id"] in hidden)
    first, last = recording.trials[1].start_time, recording.trials[2].stop_time
    sent = [r.packet for r in journal.records() if isinstance(r, Sent)]
    of_hidden = [p for p in sent if p.loop == 0 and first < p.packet_id / 40 < last - 1 / 40]
    assert len(of_hidden) > 80
    assert {p.trial_id for p in sent} >= {0, 3, None}
    assert {p.trial_id for p in sent}.isdisjoint(hidden)
    assert all(p.x is None and p.intention == Intention() for p in of_hidden)
    header = journal.header
    source = SourcePackets(recording, AT_40, header.blind)
    assert Verifier(header, source).verify(journal.records()).is_equal
    told = SourcePackets(recording, AT_40)
    assert not Verifier(header, told).verify(journal.records()).is_equal


async def test_what_a_capture_needs_is_looked_at_first(recording, tmp_path):
    async with running(recording, TrioClock()) as session, trio.open_nursery() as nursery:
        for folder, most, limits, error in (
            (tmp_path / "a", 0, NO_LIMITS, CaptureRoomError),
            (tmp_path / "b", 1, CaptureLimits(1, 1, 10**18), DiskFullError),
            (tmp_path / "file" / "c", 1, NO_LIMITS, CaptureError),
        ):
            (tmp_path / "file").touch()
            with pytest.raises(error):
                await Captures(folder, LocalSlots(most), limits, Settings()).start(
                    session, NO_FILTER, ""
                )
        captures = Captures(tmp_path / "d", LocalSlots(2), NO_LIMITS, Settings())
        await nursery.start(captures.run)
        started = await captures.start(session, NO_FILTER, "first")
        with pytest.raises(CaptureConflictError, match=started.id):
            await captures.start(session, NO_FILTER, "second")
        stopped = await captures.stop(started.id)
        assert (stopped.state, stopped.title) == ("complete", "first")
        await captures.start(session, NO_FILTER, "third")
        nursery.cancel_scope.cancel()
    third = next(info for info in captures if info.title == "third")
    assert (third.state, third.reason) == ("complete", "the server is going away")
