"""The scoreboard: which packets are answered, what is counted, and that time changes no score."""

from __future__ import annotations

import random

import pytest

from phantomlink.scoring import (
    MAX_DECODERS,
    MAX_OPEN_PACKETS,
    MIN_OPEN_PACKETS,
    Outcome,
    Prediction,
    Scoreboard,
)
from tests.scoring import NAN, PERIOD_NS, RULES, packets_of, played, reaches, say

MS = 1_000_000


def board_with(n):
    """A board of n packets that have left, and the packets."""
    board = Scoreboard(RULES)
    packets = packets_of(reaches(-(-n // 40)))[:n]
    for packet in packets:
        board.sent("all", packet)
    return board, packets


def counters(board, name):
    kept = ("closed", "answered", "late", "out_of_order", "duplicate", "unknown", "non_finite")
    return {key: value for key, value in board.summary(name).items() if key in kept and value}


def test_scripted_faults_are_counted_exactly():
    board, packets = board_with(40)
    for packet in packets[:30]:
        if packet.packet_id not in (4, 7):
            assert say(board, "kf", packet, (1.0, 2.0)) is Outcome.SCORED
    assert say(board, "kf", packets[3], (0.0, 0.0)) is Outcome.DUPLICATE
    assert say(board, "kf", packets[7], (1.0, 1.0)) is Outcome.SCORED  # out of order
    for values in ((NAN, 1.0), (float("inf"), 1.0), (1.0, 1.0, 2.0, NAN), (NAN, NAN)):
        assert say(board, "kf", packets[30], values) is Outcome.NON_FINITE
    never = Prediction(9999, (1.0, 1.0, NAN, NAN))
    assert board.answer("kf", "kf", "all", never, 0) is Outcome.UNKNOWN
    slow = Prediction(31, (1.0, 1.0, NAN, NAN))
    assert board.answer("kf", "kf", "all", slow, packets[31].sent_ns + PERIOD_NS + 1) is (
        Outcome.SCORED
    )
    just = Prediction(32, (1.0, 1.0, NAN, NAN))
    board.answer("kf", "kf", "all", just, packets[32].sent_ns + PERIOD_NS)
    board.close_all("all")
    assert counters(board, "kf") == {
        "closed": 40,
        "answered": 31,
        "late": 1,
        "out_of_order": 1,
        "duplicate": 1,
        "unknown": 1,
        "non_finite": 4,
    }
    assert board.summary("kf")["coverage"] == 31 / 40


def test_a_packet_closes_after_two_seconds():
    board, packets = board_with(120)
    now = packets[-1].sent_ns
    assert board.close(now) == 120 - 80  # those that left 2 s ago or more
    assert say(board, "a", packets[39], (1.0, 1.0)) is Outcome.UNKNOWN
    assert say(board, "a", packets[40], (1.0, 1.0)) is Outcome.SCORED


def test_the_latest_16_stay_open_and_never_more_than_4096():
    board, packets = board_with(40)
    assert board.close(packets[-1].sent_ns + 3600 * 10**9) == 40 - MIN_OPEN_PACKETS
    assert say(board, "a", packets[24], (1.0, 1.0)) is Outcome.SCORED
    board, packets = board_with(MAX_OPEN_PACKETS + 40)
    assert board.close(0) == 40


def test_a_repeated_packet_is_the_latest_one_unless_its_number_is_told():
    board = Scoreboard(RULES)
    truth = reaches(1)
    first, again, looped = (packets_of(truth)[5] for _ in range(3))
    again.sequence_number, looped.sequence_number, looped.loop = 6, 7, 1
    for packet in (first, again, looped):
        board.sent("all", packet)

    def answered(**told):
        prediction = Prediction(5, (1.0, 1.0, NAN, NAN), **told)
        return board.answer(str(told).replace(" ", ""), 1, "all", prediction, 0)

    def taken():
        return [len(packet.answers) for packet in (first, again, looped)]

    assert answered() is Outcome.SCORED
    assert taken() == [0, 0, 1]
    assert answered(loop=0) is Outcome.SCORED
    assert taken() == [0, 1, 1]
    assert answered(sequence_number=5) is Outcome.SCORED
    assert taken() == [1, 1, 1]
    assert answered(loop=1, sequence_number=5) is Outcome.UNKNOWN
    assert answered(loop=2) is Outcome.UNKNOWN
    assert board.answer("x", 1, "other", Prediction(5, (1.0, 1.0, NAN, NAN)), 0) is (
        Outcome.UNKNOWN
    )


def test_a_lost_packet_cannot_be_answered_and_counts_as_not_answered():
    packets = packets_of(reaches(1))
    packets[10].is_lost = True
    board = Scoreboard(RULES)
    for packet in packets:
        board.sent("all", packet)
        say(board, "kf", packet, packet.truth)
    board.close_all("all")
    assert counters(board, "kf") == {"closed": 40, "answered": 39, "unknown": 1}


def test_arrival_changes_no_score():
    truth = reaches(6, seed=4)
    packets = packets_of(truth)
    at_once = played(packets_of(truth), kf=lambda packet: (packet.truth[0] + 1, 0.0))
    board = Scoreboard(RULES)
    shuffle = random.Random(0)
    waiting = []
    for packet in packets:
        board.sent("all", packet)
        waiting.append(packet)
        if len(waiting) == 20:
            shuffle.shuffle(waiting)
            for answered in waiting:
                values = (answered.truth[0] + 1, 0.0, NAN, NAN)
                prediction = Prediction(answered.packet_id, values)
                board.answer("kf", "kf", "all", prediction, packet.sent_ns)
            waiting = []
        board.close(packet.sent_ns)
        if packet.packet_id % 7 == 6 and board.names:
            board.figures("kf", "trials")  # to look changes nothing
    board.close_all("all")
    for window in ("trials", "movement"):
        mine, others = (each.figures("kf", window) for each in (board, at_once))
        assert mine["answered"] == others["answered"]
        assert mine["held"] == others["held"]


def test_figures_tell_of_the_trial_that_is_being_played():
    board, packets = board_with(100)
    for packet in packets:
        say(board, "kf", packet, packet.truth)
    board.close(packets[-1].sent_ns)
    closed = 100 - 80
    assert board.figures("kf", "trials")["answered"]["whole"]["n"] == closed
    assert board.summary("kf")["last_10_s"]["n"] == closed


def test_packets_count_from_the_first_that_is_answered_to_the_last_before_it_left():
    board, packets = board_with(80)
    for packet in packets[10:20]:
        say(board, "kf", packet, packet.truth)
    say(board, "kf", packets[8], packets[8].truth)
    board.disconnect("kf")
    more = packets_of(reaches(4))[80:]
    for packet in more:
        board.sent("all", packet)
    board.close_all("all")
    assert counters(board, "kf") == {"closed": 72, "answered": 11, "out_of_order": 1}


def test_the_next_connection_continues_a_score():
    board, packets = board_with(20)
    for packet in packets[:10]:
        say(board, "kf", packet, packet.truth)
    board.disconnect("kf")
    rest = packets_of(reaches(1))[20:]
    for packet in rest:
        board.sent("all", packet)
    prediction = Prediction(30, rest[10].truth)
    assert board.answer("kf", "second", "all", prediction, 0) is Outcome.SCORED
    board.close_all("all")
    # 0 to 19 over the first connection, 30 to 39 over the second.
    assert counters(board, "kf") == {"closed": 30, "answered": 11}


def test_a_name_belongs_to_one_connection():
    board, packets = board_with(3)
    say(board, "kf", packets[0], (1.0, 1.0))
    theirs = Prediction(1, (1.0, 1.0, NAN, NAN))
    assert board.answer("kf", "another", "all", theirs, 0) is Outcome.TAKEN
    assert board.not_theirs == 1
    board.disconnect("kf")
    assert board.answer("kf", "another", "all", theirs, 0) is Outcome.SCORED


def test_sixteen_names_and_the_oldest_without_a_connection_gives_way():
    board, packets = board_with(1)
    for k in range(MAX_DECODERS):
        assert say(board, f"d{k}", packets[0], (1.0, 1.0)) is Outcome.SCORED
    assert say(board, "more", packets[0], (1.0, 1.0)) is Outcome.REFUSED
    assert board.refused == 1
    board.disconnect("d3")
    board.disconnect("d2")
    assert say(board, "more", packets[0], (1.0, 1.0)) is Outcome.SCORED
    assert "d2" not in board.names
    board.remove("d7")
    assert say(board, "yet-more", packets[0], (1.0, 1.0)) is Outcome.SCORED


def test_a_new_run_counts_what_is_sent_from_then_on():
    board, packets = board_with(60)
    for packet in packets:
        say(board, "kf", packet, packet.truth)
    board.close(packets[-1].sent_ns + 10**9)
    board.reset("kf")
    assert say(board, "kf", packets[-1], (1.0, 1.0)) is Outcome.UNKNOWN
    more = packets_of(reaches(3))[60:]
    for packet in more:
        board.sent("all", packet)
        say(board, "kf", packet, packet.truth)
    board.close_all("all")
    assert counters(board, "kf") == {"closed": 60, "answered": 60, "unknown": 1}
    assert board.figures("kf", "trials")["answered"]["whole"]["n"] == 60


def test_a_seek_cuts_a_trial_in_two():
    packets = packets_of(reaches(1))
    jump = packets_of(reaches(1))[5:]
    for k, packet in enumerate(jump):
        packet.sequence_number = 40 + k
        packet.sent_ns = packet.sequence_number * PERIOD_NS
    board = played([*packets, *jump], kf=lambda packet: packet.truth)
    trials = board.figures("kf", "trials")["answered"]["trials"]
    assert [(trial["first_sequence_number"], trial["n"]) for trial in trials] == [(0, 40), (40, 35)]


def test_a_decoder_may_be_counted_from_the_start():
    board = Scoreboard(RULES)
    board.connect("model", "model", "all", 0)
    for packet in packets_of(reaches(1)):
        board.sent("all", packet)
        if packet.packet_id >= 8:
            say(board, "model", packet, packet.truth)
    board.close_all("all")
    assert counters(board, "model") == {"closed": 40, "answered": 32}


def test_latency_is_to_the_arrival():
    board, packets = board_with(10)
    for k, packet in enumerate(packets):
        prediction = Prediction(packet.packet_id, packet.truth)
        board.answer("kf", 1, "all", prediction, packet.sent_ns + (k + 1) * MS)
    latency = board.summary("kf")["latency_ms"]
    assert latency == {"p50": 5.5, "p99": pytest.approx(9.91), "max": 10.0}
