"""What the benchmark takes from the server's answers, whatever shape they have."""

import math

from tools._bench.rest import count, duration_ns, server_report

LATENESS = ("lateness", "timing_error")


def test_units_are_read_from_either_name() -> None:
    for answer in (
        {"lateness_us": {"p50": 2.5}},
        {"lateness": {"p50_us": 2.5}},
        {"lateness_ms": {"p50": 0.0025}},
        {"lateness": {"p50_ns": 2500}},
        {"playheads": [{"lateness_us": {"p50": 2.5}}, {"lateness_us": {"p50": 9.0}}]},
        {"timing_error_ms": {"p50": 0.0025}},
    ):
        assert duration_ns(answer, LATENESS, "p50") == 2500


def test_the_better_name_wins_wherever_it_stands() -> None:
    answer = {"timing_error_ms": {"p50": 9}, "deep": [{"lateness_us": {"p50": 1}}]}
    assert duration_ns(answer, LATENESS, "p50") == 1000


def test_what_is_not_there_is_not_a_number() -> None:
    for answer in (
        {},
        None,
        {"lateness_us": {"p99": 3}},
        {"lateness_us": {"p50": None}},
        {"lateness": {"p50": 3}},
        {"lateness_us": 3},
    ):
        assert math.isnan(duration_ns(answer, LATENESS, "p50"))


def test_counts_are_found_too() -> None:
    assert count({"playheads": [{"stalls": 3}, {"stalls": 9}]}, "stalls") == 3
    assert math.isnan(count({"stalls": None}, "stalls"))


class FakeRest:
    """Answers by path; everything else is 404."""

    def __init__(self, answers):
        self.answers = answers

    def call(self, method, path, body=None):
        return (200, self.answers[path]) if path in self.answers else (404, None)


def test_the_timing_report_is_preferred() -> None:
    rest = FakeRest(
        {
            "/api/sessions/a/timing": {
                "playheads": [{"lateness_us": {"p50": 2, "p99": 30}, "stalls": 1, "overruns": 0}],
                "handover_us": {"p50": 700},
            },
            "/api/sessions/b/timing": {
                "playheads": [{"lateness_us": {"p50": 4, "p99": 20}, "stalls": 1, "overruns": 2}],
                "handover_us": {"p50": 900},
            },
            "/api/stats/a": {"timing_error_ms": {"p50": 1, "p99": 1}},
        }
    )
    found = server_report(rest, ["a", "b"])
    assert (found.lateness_p50_ns, found.lateness_p99_ns) == (3000, 30_000)
    assert (found.last_write_p50_ns, found.stalls, found.overruns) == (900_000, 2, 2)
    assert found.source == "GET /api/sessions/{code}/timing"


def test_stats_do_where_there_is_no_report() -> None:
    stats = {"timing_error_ms": {"p50": 0.002, "p99": 0.03}, "stalls": 0, "overruns": 0}
    found = server_report(FakeRest({"/api/stats/a": stats}), ["a"])
    assert (found.lateness_p50_ns, found.lateness_p99_ns) == (2000, 30_000)
    assert found.source == "GET /api/stats/{code}"
    assert math.isnan(found.last_write_p50_ns)


def test_a_server_that_says_nothing_is_not_made_to() -> None:
    found = server_report(FakeRest({}), ["a"])
    assert math.isnan(found.lateness_p50_ns)
    assert found.source == "none"
