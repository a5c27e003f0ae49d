"""Columns of views: what was sent, summed, whatever happens on the way."""

from __future__ import annotations

from collections.abc import Sequence

import msgpack
import numpy as np
import pytest
from msgspec.structs import replace

from phantomlink.errors import InvalidParameterError, NotFoundError
from phantomlink.metrics import Histogram
from phantomlink.outputs.view.columns import NO_TRIAL, ColumnBuilder, Columns, joined
from phantomlink.outputs.view.history import ColumnHistory
from phantomlink.outputs.view.merging import shortened
from phantomlink.outputs.view.messages import columns_messages, columns_record
from phantomlink.outputs.view.state import RecentDurations
from phantomlink.outputs.view.view_request import ViewQuery, read_view_query, view_code
from phantomlink.recordings.trials import Filter
from phantomlink.wire.packet import Intention, Packet

UNITS = slice(0, 3)


def packet(
    packet_id: int, sequence: int | None = None, *, loop: int = 0, perturbation: str | None = None
) -> Packet:
    """Counts and kinematics tell the packet: unit 0 counts its id."""
    return Packet(
        packet_id=packet_id,
        sequence_number=packet_id if sequence is None else sequence,
        loop=loop,
        spike_counts=np.array([packet_id % 200, 1, 300], np.uint16),
        vx=float(packet_id),
        vy=None,
        x=packet_id / 2,
        y=0.0,
        intention=Intention(0, 1.5, -2.5, 3.0, 7),
        trial_id=packet_id // 10 if packet_id % 10 < 8 else None,
        trial_time_ms=0.0,
        perturbation_id=perturbation,
    )


def build(
    packets: list[Packet], bins: int = 1, lost: tuple[int, ...] = (), *, ends: bool = False
) -> list[Columns]:
    builder = ColumnBuilder(bins, UNITS)
    for each in packets:
        if each.packet_id in lost:
            builder.take_lost(each)
        else:
            builder.take(each, each.sequence_number / 40)
    if ends:
        builder.finish_run()
    return builder.finished()


def test_packets_in_order_are_one_piece() -> None:
    (columns,) = build([packet(i) for i in range(5, 9)])
    assert columns.packet_id == 5
    assert (columns.first_sequence, columns.last_sequence) == (5, 8)
    assert columns.counts.tolist() == [[i, 1, 255] for i in range(5, 9)]
    assert columns.kinematics[:, 0].tolist() == [5, 6, 7, 8]
    assert np.isnan(columns.kinematics[:, 1]).all()
    assert columns.intention[0].tolist() == [1.5, -2.5, 0, 7]
    assert columns.trial_ids.tolist() == [0, 0, 0, NO_TRIAL]
    assert columns.timestamp == 8 / 40


def test_columns_of_several_bins_lie_at_multiples_and_hold_the_last_place() -> None:
    (first, rest) = build([packet(i) for i in range(3, 16)], bins=5)
    assert (first.packet_id, first.bins_per_column, len(first)) == (3, 2, 1)
    assert first.counts.tolist() == [[3 + 4, 2, 255]]
    assert (rest.packet_id, rest.bins_per_column, len(rest)) == (5, 5, 2)
    assert rest.counts.tolist() == [[sum(range(5, 10)), 5, 255], [sum(range(10, 15)), 5, 255]]
    assert rest.kinematics[:, 0].tolist() == [9, 14]


@pytest.mark.parametrize("skipped", [(6,), (6, 7, 8), (5, 6), (8, 9, 10, 11), range(7, 23)])
def test_what_a_stall_skips_is_in_no_column(skipped: Sequence[int]) -> None:
    pieces = build([packet(i) for i in range(5, 30) if i not in skipped], bins=5)
    ids = [
        range(
            each.packet_id + n * each.bins_per_column,
            each.packet_id + (n + 1) * each.bins_per_column,
        )
        for each in pieces
        for n in range(len(each))
    ]
    assert [k for part in ids for k in part] == [k for k in range(5, 30) if k not in skipped]
    counts = np.concatenate([each.counts for each in pieces]).tolist()
    assert counts == [[min(sum(part), 255), len(part), 255] for part in ids]
    for each in pieces:
        assert each.timestamp == each.last_sequence / 40


def test_a_seek_a_loop_and_a_perturbation_begin_anew() -> None:
    sought = [packet(0), packet(1), packet(50, 2), packet(51, 3)]
    looped = [packet(0, 4, loop=1)]
    perturbed = [packet(1, 5, loop=1, perturbation="abc")]
    pieces = build([*sought, *looped, *perturbed], ends=True)
    assert [(each.packet_id, len(each)) for each in pieces] == [(0, 2), (50, 2), (0, 1), (1, 1)]
    assert pieces[-1].perturbation_id == "abc"


def test_a_seek_in_a_column_leaves_its_part() -> None:
    builder = ColumnBuilder(5, UNITS)
    for each in [packet(0), packet(1), packet(20, 2)]:
        builder.take(each, 1.0)
    (part,) = builder.finished()
    assert (part.packet_id, part.bins_per_column) == (0, 2)
    builder.finish_run()
    (rest,) = builder.finished()
    assert (rest.packet_id, rest.bins_per_column) == (20, 1)


def test_lost_packets_are_marked_and_count_nothing() -> None:
    (columns,) = build([packet(i) for i in range(10)], bins=5, lost=(2, 3, 9))
    assert columns.lost.tolist() == [2, 1]
    assert columns.counts[:, 1].tolist() == [3, 4]
    assert columns.kinematics[:, 0].tolist() == [4, 8]


def test_a_column_of_lost_packets_alone_is_there() -> None:
    (columns,) = build([packet(i) for i in range(4)], lost=(1,))
    assert columns.counts.tolist() == [[0, 1, 255], [0, 0, 0], [2, 1, 255], [3, 1, 255]]
    assert np.isnan(columns.kinematics[1]).all()
    assert columns.trial_ids[1] == NO_TRIAL


def test_an_overtaken_packet_is_in_its_place_and_a_doubled_one_once() -> None:
    order = [0, 1, 3, 2, 4, 4, 5, 6, 5]
    (columns,) = build([packet(i) for i in order])
    assert columns.counts[:, 0].tolist() == list(range(7))
    assert columns.counts[:, 1].tolist() == [1] * 7


def test_the_first_packet_of_a_run_may_have_overtaken_one() -> None:
    (columns,) = build([packet(i) for i in (41, 40, 42)])
    assert columns.counts[:, 0].tolist() == [40, 41, 42]


def test_an_overtaken_packet_at_the_end_of_a_column_is_waited_for() -> None:
    builder = ColumnBuilder(5, UNITS)
    for i in (0, 1, 2, 3, 5):
        builder.take(packet(i), 1.0)
    assert builder.finished() == []
    builder.take(packet(4), 1.0)
    (columns,) = builder.finished()
    assert columns.counts[0].tolist() == [10, 5, 255]


def test_what_goes_on_is_joined() -> None:
    first = build([packet(0), packet(1)])
    second = build([packet(2)], ends=True)
    (columns,) = joined([*first, *second])
    assert len(columns) == 3
    assert columns.last_sequence == 2


def test_too_many_are_summed_in_pairs_and_never_across_a_seek() -> None:
    before = build([packet(i) for i in range(9)])
    after = build([packet(i + 100, i + 9) for i in range(8)])
    waiting = shortened([*before, *after], most=10)
    sums = [each.counts[:, 1].sum() for each in waiting.columns]
    assert sum(map(len, waiting.columns)) <= 10
    assert sum(sums) == 17
    assert waiting.gap == 0
    assert {each.bins_per_column for each in waiting.columns} == {1, 2}
    ends = [each.packet_id + len(each) * each.bins_per_column for each in waiting.columns]
    assert 9 in ends
    assert ends[-1] == 108
    assert waiting.columns[0].kinematics[:, 0].tolist() == [1, 3, 5, 7]


def test_where_nothing_can_be_summed_the_oldest_go() -> None:
    pieces = [build([packet(100 * i, i)], ends=True)[0] for i in range(7)]
    waiting = shortened(pieces, most=5)
    assert waiting.gap == 2
    assert [each.packet_id for each in waiting.columns] == [200, 300, 400, 500, 600]
    messages = [msgpack.unpackb(each) for each in columns_messages(waiting)]
    assert [message.get("gap") for message in messages] == [2, None, None, None, None]


def test_summing_saturates() -> None:
    (columns,) = build([packet(i) for i in range(4)])
    (pairs,) = shortened([columns], most=2).columns
    assert pairs.counts[:, 2].tolist() == [255, 255]


def test_history_gives_each_viewer_what_it_has_not_had() -> None:
    history = ColumnHistory(kept=6)
    for start in range(0, 12, 3):
        history.append(build([packet(i) for i in range(start, start + 3)]))
    assert (history.start, history.end) == (6, 12)
    assert [each.packet_id for each in history.since(8).columns] == [8]
    assert history.since(12).columns == ()
    behind = history.since(2)
    assert behind.gap == 4
    assert behind.columns[0].packet_id == 6
    assert sum(map(len, history.everything())) == 6


def test_a_record_says_its_arrays_as_bytes() -> None:
    (columns,) = build([packet(i) for i in range(2)])
    record = msgpack.unpackb(msgpack.packb(columns_record(columns)))
    assert np.frombuffer(record["counts"], "u1").reshape(2, 3).tolist() == columns.counts.tolist()
    assert np.frombuffer(record["trial_id"], "<i4").tolist() == [0, 0]
    assert np.frombuffer(record["kinematics"], "<f4").reshape(2, 4)[1, 2] == 0.5


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("", ViewQuery(Filter())),
        ("column_ms=50&units=0-63", ViewQuery(Filter(), 50.0, (0, 63))),
        ("reach_id=3&_=1", ViewQuery(Filter(reach_id=3))),
    ],
)
def test_queries(raw: str, wanted: ViewQuery) -> None:
    assert read_view_query(raw) == wanted


@pytest.mark.parametrize(
    "raw",
    ["column_ms=0", "column_ms=nan", "units=5", "trial_id=-1", "colum_ms=5", "units=0-1&units=0-2"],
)
def test_queries_of_another_form_are_refused(raw: str) -> None:
    with pytest.raises(InvalidParameterError):
        read_view_query(raw)


def test_a_column_is_whole_bins_and_units_are_there() -> None:
    assert ViewQuery(Filter()).bins_per_column(25) == 1
    assert ViewQuery(Filter()).bins_per_column(1) == 25
    assert ViewQuery(Filter()).bins_per_column(100) == 1
    assert ViewQuery(Filter(), 60).bins_per_column(25) == 2
    assert ViewQuery(Filter(), None, (2, 4)).unit_rows(5) == slice(2, 5)
    with pytest.raises(InvalidParameterError, match="0 to 4"):
        ViewQuery(Filter(), None, (2, 5)).unit_rows(5)


def test_paths() -> None:
    assert view_code("/view/a%2Db") == "a-b"
    with pytest.raises(NotFoundError):
        view_code("/stream/a")


def test_recent_durations_are_those_since_the_last_time() -> None:
    histogram, recent = Histogram(), RecentDurations()
    for value in (7, 7, 7):
        histogram.record(value)
    assert recent.take(histogram) == {"count": 3, "p50": 0.007, "p99": 0.007, "max": 0.007}
    assert recent.take(histogram)["count"] == 0
    histogram.record(3)
    assert recent.take(histogram) == {"count": 1, "p50": 0.003, "p99": 0.003, "max": 0.003}
    assert recent.take(Histogram())["p50"] is None


def test_what_was_not_observed_is_told() -> None:
    packets = [packet(i) for i in range(6)]
    blank = [replace(each, observed=each.packet_id not in {1, 2, 3}) for each in packets]
    (columns,) = build(blank)
    assert columns.observed.tolist() == [1, 0, 0, 0, 1, 1]
    (pairs,) = build(blank, bins=2)
    assert pairs.observed.tolist() == [1, 0, 1]
    (merged,) = shortened([columns], most=3).columns
    assert merged.observed.tolist() == [1, 0, 1]
    assert columns_record(columns)["observed"] == bytes([1, 0, 0, 0, 1, 1])
