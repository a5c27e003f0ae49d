import copy
import json
import math

import msgpack
import pytest

from phantomlink.watch.checks import StreamChecker
from phantomlink.watch.contract import UndecodableError, decode_message, packet_problems, readable
from phantomlink.watch.figures import Arrivals, measure
from phantomlink.watch.report import pretty_json
from phantomlink.watch.verdicts import Closed

TOTAL = 50
CHANNELS = [0, 1, 2]
METADATA_FIRST = "the first message is metadata"
COMPLETE = "the metadata is complete"
SHAPE = "every packet has the contract's shape"
SEQUENCE = "sequence_number is +1 every time"
ORDER = "packet_id follows"
LOOP = "loop counts the wraps"
TIMESTAMPS = "timestamps increase"
BIN_SIZE = "bin_size_ms is constant"
RATE = "the rate is frequency_hz"
STEADY = "packets keep coming"
LOST = "no packet was lost"
END = "it ends as it should"
ALL = [
    METADATA_FIRST,
    COMPLETE,
    SHAPE,
    SEQUENCE,
    ORDER,
    LOOP,
    TIMESTAMPS,
    BIN_SIZE,
    RATE,
    STEADY,
    LOST,
    END,
]


def packet(sequence_number, packet_id=None, loop=0, **changes):
    data = {
        "packet_id": sequence_number % TOTAL if packet_id is None else packet_id,
        "sequence_number": sequence_number,
        "timestamp": 1767225600.0 + sequence_number * 0.025,
        "spikes": {"channel_ids": CHANNELS, "spike_counts": [0, 2, 1], "bin_size_ms": 25.0},
        "kinematics": {"vx": 1.5, "vy": -2, "x": None, "y": 0.0},
        "intention": {
            "target_id": 0,
            "target_x": -118.0,
            "target_y": -83,
            "distance_to_target": 3.5,
            "reach_id": 4,
        },
        "trial_id": 5,
        "trial_time_ms": 412.5,
        "loop": loop,
    }
    return {"type": "data", "data": data | changes}


def compact(sequence_number, counts=bytes([0, 2, 1]), dtype="u1"):
    return packet(sequence_number, spikes={"counts": counts, "dtype": dtype, "bin_size_ms": 25.0})


def metadata(**changes):
    data = {
        "dataset": "maze",
        "total_packets": TOTAL,
        "frequency_hz": 40,
        "num_channels": 3,
        "channel_count": 3,
        "duration_seconds": TOTAL / 40,
        "num_trials": 2,
        "bin_size_ms": 25.0,
        "channel_ids": CHANNELS,
        "something_new": {"is": "fine"},
    }
    return {
        "type": "metadata",
        "data": data | packet(0)["data"] | changes,
        "session": {"code": "s", "url": "ws://h/stream/s"},
    }


def stream(n=10, **at):
    """Metadata and n packets; `p3={...}` changes members of packet 3."""
    packets = [packet(i, loop=i // TOTAL) for i in range(n)]
    for name, changes in at.items():
        packets[int(name[1:])]["data"].update(changes)
    return [metadata(), *packets]


def even_arrivals(n, period_ms=25.0):
    arrivals = Arrivals(connecting_ns=0, opened_ns=10_000_000)
    for i in range(n):
        arrivals.packet(int(20e6 + i * period_ms * 1e6), 100)
    arrivals.ended_ns = int(20e6 + n * period_ms * 1e6)
    return arrivals


def check(messages, *, wanted=None, period_ms=25.0, closed=None):
    """The names of the checks that failed, and their details."""
    checker = StreamChecker(wanted)
    for message in messages:
        checker.message(message if isinstance(message, (bytes, str)) else msgpack.packb(message))
    arrivals = even_arrivals(checker.n_packets, period_ms)
    figures = measure(arrivals, gaps=checker.gaps, lost=checker.lost)
    results = checker.results(figures, closed)
    assert [result.name for result in results] == ALL
    assert all(result.detail for result in results)
    return {result.name: result.detail for result in results if not result.passed}


def test_a_good_stream_passes_in_both_forms():
    assert check(stream(120)) == {}
    assert check(map(json.dumps, stream(120))) == {}


def test_a_stream_joined_late_passes():
    messages = [metadata(), *(packet(i, loop=i // TOTAL) for i in range(977, 1100))]
    assert check(messages) == {}


def test_what_comes_beside_the_contract_is_allowed():
    messages = stream(5)
    messages.insert(3, {"type": "event", "data": None})
    messages[1]["data"]["new"] = [1]
    messages[2]["data"]["spikes"]["waveforms"] = []
    assert check(messages) == {}


def test_the_first_message_must_be_metadata():
    failed = check(stream(5)[1:])
    assert set(failed) == {METADATA_FIRST, COMPLETE, RATE}
    assert "data" in failed[METADATA_FIRST]


@pytest.mark.parametrize(
    "name",
    [
        *("dataset", "total_packets", "frequency_hz", "num_channels", "channel_count"),
        *("duration_seconds", "num_trials", "bin_size_ms", "channel_ids"),
        *("packet_id", "sequence_number", "timestamp", "spikes", "kinematics", "intention"),
        *("trial_id", "trial_time_ms", "loop"),
    ],
)
def test_metadata_that_lacks_something_is_incomplete(name):
    messages = stream(5)
    del messages[0]["data"][name]
    assert name in check(messages)[COMPLETE]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"total_packets": 50.0}, "total_packets"),
        ({"num_channels": True}, "num_channels"),
        ({"channel_count": 4}, "channel_count is 4"),
        ({"channel_ids": [0, 1]}, "2 channel_ids"),
        ({"frequency_hz": 50}, "not real time"),
        ({"dataset": ""}, "dataset"),
        ({"packet_id": None}, "packet_id"),
    ],
)
def test_metadata_that_is_wrong(changes, said):
    messages = stream(5)
    messages[0]["data"].update(changes)
    assert said in check(messages)[COMPLETE]


def test_metadata_names_the_session():
    messages = stream(5)
    del messages[0]["session"]["url"]
    assert "session.url is missing" in check(messages)[COMPLETE]


def _spikes(**changes):
    return {"spikes": packet(0)["data"]["spikes"] | changes}


def _intention(**changes):
    return {"intention": packet(0)["data"]["intention"] | changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"packet_id": "3"}, 'packet_id is "3", takes a whole number'),
        ({"packet_id": -1}, "packet_id is -1"),
        ({"loop": None}, "loop is null"),
        ({"timestamp": True}, "timestamp is true"),
        ({"trial_id": 5.0}, "trial_id is 5.0"),
        ({"trial_id": None}, "trial_id is null while trial_time_ms is 412.5"),
        (_spikes(spike_counts=[0, 1]), "2 spike_counts for 3 channel_ids"),
        (_spikes(spike_counts=[0, -1, 2]), "spike_counts is [0, -1, 2]"),
        (_spikes(spike_counts=[0, 1.0, 2]), "spikes.spike_counts"),
        (_spikes(channel_ids=[7, 8, 9]), "not those of the metadata"),
        ({"spikes": None}, "spikes is null, not an object"),
        ({"kinematics": {"vx": 1.0, "vy": 1.0, "x": 1.0}}, "kinematics.y is missing"),
        ({"kinematics": {"vx": "1", "vy": 1.0, "x": 1.0, "y": 1.0}}, 'vx is "1"'),
        ({"intention": None}, "intention is null, not an object"),
        (_intention(target_id=1.5), "intention.target_id is 1.5"),
        (_intention(distance_to_target=-1.0), "distance_to_target is -1.0"),
        ({"trial_id": None, "trial_time_ms": None}, "intention.target_id is 0 outside trials"),
    ],
)
def test_a_packet_of_another_shape(changes, said):
    failed = check(stream(10, p4=changes))
    assert set(failed) == {SHAPE}
    assert "packet 5" in failed[SHAPE]
    assert said in failed[SHAPE]


def test_nan_is_not_a_number():
    with pytest.raises(UndecodableError, match="NaN"):
        decode_message(json.dumps({"type": "data", "data": math.nan}))
    kinematics = {"vx": math.nan, "vy": 1.0, "x": 1.0, "y": 1.0}
    assert "vx" in check(stream(10, p4={"kinematics": kinematics}))[SHAPE]


@pytest.mark.parametrize("raw", [b"\xc1", b"", b"\x01\x02", "{", "[]", "3", '{"type": 3}'])
def test_a_message_that_cannot_be_read(raw):
    messages = stream(5)
    messages.insert(3, raw)
    assert set(check(messages)) == {SHAPE}
    assert METADATA_FIRST in check([raw, *stream(5)])


def test_outside_trials_all_is_null():
    nothing = dict.fromkeys(packet(0)["data"]["intention"])
    changes = {"trial_id": None, "trial_time_ms": None, "intention": nothing}
    assert check(stream(10, p4=changes)) == {}


def test_losses_are_counted_and_are_one_failure_of_order():
    messages = stream(120)
    del messages[20:23]
    del messages[60:61]
    failed = check(messages)
    assert set(failed) == {SEQUENCE, LOST}
    assert failed[LOST] == "4 lost in 2 gaps"
    assert "from 18 to 22" in failed[SEQUENCE]
    assert "2 times" in failed[SEQUENCE]


def test_losses_over_a_wrap():
    messages = stream(120)
    del messages[45:55]
    assert set(check(messages)) == {SEQUENCE, LOST}


def test_a_packet_sent_twice():
    messages = stream(10)
    messages.insert(5, copy.deepcopy(messages[5]))
    failed = check(messages)
    assert set(failed) == {SEQUENCE, TIMESTAMPS}


def test_a_packet_id_that_does_not_follow():
    messages = [metadata(), *(packet(i, packet_id=i + 7 * (i > 5)) for i in range(10))]
    failed = check(messages)
    assert set(failed) == {ORDER}
    assert "from 5 to 13" in failed[ORDER]
    assert "1 times" not in failed[ORDER]


def test_a_packet_id_outside_the_recording():
    messages = [metadata(), packet(0, packet_id=TOTAL)]
    assert ORDER in check(messages)


@pytest.mark.parametrize("loops", [[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 0], [0, 2, 2, 2]])
def test_the_loop_counts_wraps_only(loops):
    # The wrap is between the second and the third packet only in the list that is right.
    ids = [48, 49, 0, 1]
    messages = [
        metadata(),
        *(packet(i, packet_id=ids[i], loop=loop) for i, loop in enumerate(loops)),
    ]
    assert (LOOP in check(messages)) is (loops != [0, 0, 1, 1])


def test_timestamps_that_stand_still():
    still = stream(10)[4]["data"]["timestamp"]
    assert set(check(stream(10, p4={"timestamp": still}))) == {TIMESTAMPS}


def test_a_bin_size_that_changes():
    failed = check(stream(10, p4=_spikes(bin_size_ms=20.0)))
    assert set(failed) == {BIN_SIZE}
    assert "20.0 ms" in failed[BIN_SIZE]


def _filtered(ids, loops, **changes):
    packets = [
        packet(i, packet_id=packet_id, loop=loop, **changes)
        for i, (packet_id, loop) in enumerate(zip(ids, loops, strict=True))
    ]
    return [metadata(), *packets]


def test_a_filtered_stream_jumps_between_its_runs():
    messages = _filtered([30, 31, 3, 4, 30, 31, 3], [0, 0, 1, 1, 1, 1, 2])
    assert check(messages, wanted={"trial_id": 5}) == {}


def test_a_filtered_stream_of_a_single_bin():
    assert check(_filtered([30, 30, 30], [0, 1, 2]), wanted={"trial_id": 5}) == {}


@pytest.mark.parametrize(
    ("ids", "loops", "expected"),
    [
        ([30, 31, 3, 4], [0, 0, 0, 0], {ORDER}),
        ([30, 31, 32, 33], [0, 0, 1, 1], {LOOP}),
        ([3, 4, 30, 3, 5, 30], [0, 0, 0, 1, 1, 1], {ORDER}),
    ],
)
def test_a_filtered_stream_out_of_order(ids, loops, expected):
    assert set(check(_filtered(ids, loops), wanted={"trial_id": 5})) == expected


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ({"trial_id": 5}, True),
        ({"trial_id": 6}, False),
        ({"target_id": 0}, True),
        ({"target_id": 1}, False),
        ({"reach_id": 4, "trial_id": 5}, True),
        ({"reach_id": 3, "trial_id": 5}, False),
    ],
)
def test_a_filter_lets_only_its_own_through(wanted, passes):
    assert (ORDER not in check(stream(10), wanted=wanted)) is passes


@pytest.mark.parametrize(
    ("n", "period_ms", "passes"),
    [
        (120, 25.2, True),
        (120, 25.3, False),
        (120, 24.7, False),
        (40, 25.4, True),
        (40, 25.6, False),
    ],
)
def test_the_rate_has_a_tolerance(n, period_ms, passes):
    failed = check(stream(n), period_ms=period_ms)
    assert set(failed) == (set() if passes else {RATE})


def test_a_single_packet_says_nothing_of_the_rate():
    assert "too few" in check(stream(1))[RATE]


def test_no_packet_fails_whatever_is_about_packets():
    failed = check(stream(0))
    assert set(failed) == set(ALL) - {METADATA_FIRST, COMPLETE, END}
    assert failed[STEADY] == "no packet in 0.0 s"
    assert set(check([])) == set(ALL) - {END}


@pytest.mark.parametrize(
    ("silent_ms", "passes"), [(900, True), (1100, False)], ids=["short", "long"]
)
@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_silence(silent_ms, where, passes):
    checker = StreamChecker()
    for message in stream(120):
        checker.message(msgpack.packb(message))
    times_ms = [20 + 25 * i for i in range(120)]
    arrivals = Arrivals(connecting_ns=0, opened_ns=0)
    ended_ms = times_ms[-1] + (silent_ms if where == "after" else 0)
    for i, time_ms in enumerate(times_ms):
        late = {"before": silent_ms - 20, "between": silent_ms - 25, "after": 0}[where]
        moved = late if where == "before" or (where == "between" and i > 60) else 0
        arrivals.packet((time_ms + moved) * 1_000_000, 1)
        ended_ms = max(ended_ms, time_ms + moved)
    arrivals.ended_ns = ended_ms * 1_000_000
    figures = measure(arrivals, gaps=0, lost=0)
    assert figures.longest_silence_seconds == pytest.approx(silent_ms / 1e3)
    results = {result.name: result.passed for result in checker.results(figures, None)}
    assert results[STEADY] is passes


@pytest.mark.parametrize(
    ("code", "passes"),
    [(1000, True), (1001, False), (1006, False), (1011, False), (4408, False), (4410, False)],
)
def test_only_an_ordinary_end_is_fine(code, passes):
    failed = check(stream(10), closed=Closed(code, "because"))
    assert set(failed) == (set() if passes else {END})
    if not passes:
        assert str(code) in failed[END]
        assert "because" in failed[END]


def test_figures():
    arrivals = Arrivals(connecting_ns=1_000_000, opened_ns=3_000_000)
    for time_ms in (11, 21, 31, 61):
        arrivals.packet(time_ms * 1_000_000, 50)
    arrivals.ended_ns = 70_000_000
    figures = measure(arrivals, gaps=1, lost=2)
    assert figures.packets == 4
    assert figures.bytes == 200
    assert figures.first_packet_seconds == 0.010
    assert figures.span_seconds == pytest.approx(0.050)
    assert figures.rate_hz == pytest.approx(60.0)
    assert figures.longest_silence_seconds == pytest.approx(0.030)
    assert (figures.gaps, figures.lost) == (1, 2)
    assert figures.intervals is not None
    assert figures.intervals.mean == pytest.approx(50 / 3)
    assert figures.intervals.std == pytest.approx(math.sqrt((100 + 100 + 900) / 3 - (50 / 3) ** 2))
    assert figures.intervals.p50 == pytest.approx(10)
    assert figures.intervals.max == pytest.approx(30)


def test_the_rate_of_late_falls_to_zero_in_silence():
    arrivals = even_arrivals(200)
    last_ns = arrivals.packets_ns[-1]
    assert arrivals.recent_rate_hz(last_ns) == pytest.approx(40.0)
    assert arrivals.recent_rate_hz(last_ns + 3_000_000_000) == 0.0
    assert arrivals.silent_seconds(last_ns + 3_000_000_000) == 3.0


def test_pretty_json_is_the_same_value():
    message = stream(1)[1]
    message["data"]["spikes"]["spike_counts"] = list(range(300))
    message["data"]["nested"] = [{"a": "x" * 90, "b": [list(range(60))]}]
    text = pretty_json(message)
    assert json.loads(text) == message
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("counts", "dtype", "words"),
    [
        (b"abc", "u1", ""),
        (b"abcdef", "<u2", ""),
        (b"abc", "<u2", "3 bytes of counts for 3 channel_ids, 2 each"),
        (b"abcd", "u1", "4 bytes"),
        (b"abc", "i1", 'takes "u1" or "<u2"'),
        ([1, 2, 3], "u1", "takes bytes"),
    ],
)
def test_compact_packets_have_a_shape_of_their_own(counts, dtype, words):
    problems = packet_problems(compact(0, counts, dtype)["data"], CHANNELS)
    assert words in "; ".join(problems)
    assert bool(problems) is bool(words)


def test_a_sample_of_a_compact_packet_shows_numbers():
    data = compact(0, bytes([1, 0, 0, 2, 5, 0]), "<u2")["data"]
    assert readable(data)["spikes"]["counts"] == [1, 512, 5]
    assert readable(packet(0)["data"]) == packet(0)["data"]
