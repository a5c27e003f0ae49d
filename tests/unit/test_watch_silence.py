"""Why a stream that is watched is silent: what the server says, and what is told when."""

import pytest

from phantomlink.watch.figures import Arrivals
from phantomlink.watch.rest import RestAnswer
from phantomlink.watch.silence import Reason, Silence, SilenceLog, why_silent

API = "http://host:1"
SECOND = 1_000_000_000
WAITING = Reason("waiting", "the file is gone")
PAUSED = Reason("paused", "somebody paused it")


def session(**changes):
    """What a server answers of a session that plays, changed."""
    body = {
        "is_running": True,
        "is_paused": False,
        "is_stopped": False,
        "is_playing": True,
        "waiting_for": None,
        "filtered": [],
        "perturbation": None,
    }
    return RestAnswer(200, body | changes)


def reason(answer, **wanted):
    return why_silent(answer, API, "a", wanted)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (session(is_paused=True), "paused", "POST http://host:1/api/control/a/resume"),
        (session(is_paused=True, waiting_for="x"), "paused", "is paused"),
        (session(is_stopped=True, is_playing=False), "stopped", "/api/control/a/resume"),
        (session(waiting_for="F was cut", is_playing=False), "waiting", "recording: F was cut"),
        (session(), "playing", "that it is playing"),
        (session(perturbation={"name": "light"}), "playing", "perturbed"),
        (session(is_playing=False), "not playing", "that it is not playing"),
        # A server that has only what the contract names.
        (RestAnswer(200, {"is_running": True, "is_paused": False}), "playing", "it is playing"),
        (RestAnswer(200, {"is_running": False}), "not playing", "it is not playing"),
        (RestAnswer(404, {"detail": "no session"}), "no session", "has no session 'a'"),
        (RestAnswer(401, {"detail": "show a token"}), "refused", "status 401 (show a token)"),
        (RestAnswer(426), "refused", "http://host:1/api/sessions/a does not say why: status 426"),
        (RestAnswer(200), "refused", "status 200"),
        (RestAnswer(), "unreachable", "the server at http://host:1 does not answer"),
    ],
)
def test_what_the_server_says(answer, kind, said):
    why = reason(answer)
    assert why.kind == kind
    assert said in why.text
    assert "\n" not in why.text


def test_a_filter_has_a_playhead_of_its_own():
    filtered = [
        {"filter": {"trial_id": None, "target_id": 1}, "is_playing": True, "waiting_for": None},
        {"filter": {"trial_id": 4, "target_id": None}, "is_playing": False, "waiting_for": "disk"},
    ]
    answer = session(filtered=filtered)
    assert reason(answer).kind == "playing"
    assert reason(answer, target_id=1).kind == "playing"
    assert reason(answer, trial_id=4).kind == "waiting"
    assert reason(answer, trial_id=5).kind == "playing", "not listed: the session's own"


@pytest.fixture
def arrivals():
    """Open since 10 s; packets at 10.5, 11 and 11.5 s."""
    arrivals = Arrivals(connecting_ns=9 * SECOND, opened_ns=10 * SECOND)
    for half in (21, 22, 23):
        arrivals.packet(half * SECOND // 2, 100)
    return arrivals


def learn(log, why, seconds):
    now_ns = round(seconds * SECOND)
    return log.learned(log.begin(now_ns), why, now_ns)


@pytest.mark.parametrize(
    ("frequency_hz", "from_seconds"), [(40.0, 13.5), (None, 13.5), (2.0, 14.0), (0.5, 21.5)]
)
def test_asked_after_two_seconds_and_five_periods(arrivals, frequency_hz, from_seconds):
    log = SilenceLog(arrivals)
    at = round(from_seconds * SECOND)
    assert not log.is_due(at, frequency_hz)
    assert log.is_due(at + 1, frequency_hz)


def test_not_asked_before_the_connection_is_open():
    arrivals = Arrivals(connecting_ns=SECOND, opened_ns=SECOND)
    assert not SilenceLog(arrivals).is_due(60 * SECOND, 40.0)


def test_asked_again_every_two_seconds_and_told_once(arrivals):
    log = SilenceLog(arrivals)
    told = learn(log, WAITING, 14)
    assert told == "no more packets for the last 2.5 s: the file is gone"
    assert not log.is_due(round(15.9 * SECOND), 40.0)
    assert log.is_due(16 * SECOND, 40.0)
    assert learn(log, WAITING, 16) is None
    assert learn(log, PAUSED, 18) == "no more packets for the last 6.5 s: somebody paused it"
    assert learn(log, WAITING, 20) is not None


def test_a_silence_that_is_over_is_told_and_kept(arrivals):
    log = SilenceLog(arrivals)
    learn(log, WAITING, 14)
    learn(log, PAUSED, 16)
    assert log.ended() is None
    arrivals.packet(17 * SECOND, 100)
    arrivals.packet(18 * SECOND, 100)
    assert log.ended() == "packets come again, after 5.5 s"
    assert log.ended() is None
    assert log.silences() == (Silence(1.5, 5.5, True, (WAITING, PAUSED)),)
    assert not log.is_due(20 * SECOND, 40.0)
    assert log.is_due(20 * SECOND + 1, 40.0)
    assert "2.5 s: somebody paused it" in learn(log, PAUSED, 20.5), "another silence, told anew"
    arrivals.ended_ns = 21 * SECOND
    assert log.silences()[1:] == (Silence(8.0, 3.0, False, (PAUSED,)),)


def test_a_silence_that_goes_on_to_the_end(arrivals):
    log = SilenceLog(arrivals)
    learn(log, WAITING, 14)
    arrivals.ended_ns = 15 * SECOND
    assert log.silences() == (Silence(1.5, 3.5, False, (WAITING,)),)


def test_before_the_first_packet():
    arrivals = Arrivals(connecting_ns=9 * SECOND, opened_ns=10 * SECOND)
    log = SilenceLog(arrivals, "sample")
    assert learn(log, PAUSED, 13) == "no sample for the last 3.0 s: somebody paused it"
    arrivals.packet(14 * SECOND, 100)
    assert log.ended() == "samples come again, after 4.0 s"
    assert log.silences() == (Silence(0.0, 4.0, True, (PAUSED,)),)


def test_an_answer_that_comes_after_a_packet_is_of_the_past(arrivals):
    log = SilenceLog(arrivals)
    n = log.begin(14 * SECOND)
    arrivals.packet(round(14.1 * SECOND), 100)
    assert log.learned(n, Reason("playing", "it plays"), round(14.2 * SECOND)) is None
    assert log.ended() is None
    assert log.silences() == ()
    assert log.is_due(17 * SECOND, 40.0)


def test_a_day_of_silences_is_bounded(arrivals):
    log = SilenceLog(arrivals)
    for k in range(150):
        learn(log, WAITING, 15 + 4 * k)
        arrivals.packet((16 + 4 * k) * SECOND, 100)
        assert log.ended()
    assert len(log.silences()) == 100
