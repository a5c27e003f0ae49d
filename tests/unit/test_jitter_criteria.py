"""Criteria hold or fail by the figures that count, and say so when there is none."""

from dataclasses import replace

import pytest

from tests.unit.test_jitter_slices import a_figure, a_slice, results
from tools.bench.harness.text import Verdict
from tools.bench.jitter import criteria
from tools.bench.jitter.contestants import (
    ASYNCIO_DEADLINE,
    BESIDE_LSL,
    CHURNED,
    FLOOR,
    PERTURBED,
    PHANTOMLINK,
    PHANTOMLINK_LSL,
    PYLSL_DEADLINE,
)
from tools.bench.jitter.report import text, verdicts
from tools.bench.jitter.scenarios import SCENARIOS
from tools.bench.jitter.series import Seam
from tools.bench.jitter.slices import Measured, Results, ServerReport, Usage

US = 1000
SAID = ServerReport(15 * US, 100 * US, 2000 * US, 0, 0, "GET /somewhere")


def measured(us: float, **changes: object) -> Measured:
    usual = {"report": SAID, "usage": Usage(0.3)}
    return replace(a_slice(us * US, us * US, 0.0), **(usual | changes))


def run(floor: float = 20, ours: float = 30, theirs: float = 600, **changes: object) -> Results:
    return results(
        **{
            FLOOR: [measured(floor)] * 3,
            PHANTOMLINK: [measured(ours, **changes)] * 3,
            ASYNCIO_DEADLINE: [measured(theirs)] * 3,
        }
    )


def outcome(found: list[Verdict], words: str) -> bool | None:
    (verdict,) = [v for v in found if words in v.criterion]
    return verdict.passed


@pytest.mark.parametrize(
    ("words", "good", "bad"),
    [
        ("p50 within 2x", {"ours": 40}, {"ours": 41}),
        ("p99 at most the floor's plus 150", {"ours": 170}, {"ours": 171}),
        ("5x below", {"ours": 120}, {"ours": 121}),
    ],
)
def test_a_single_session_beside_the_others(words: str, good: dict, bad: dict) -> None:
    assert outcome(SCENARIOS["single"].verdicts(run(**good)), words) is True
    assert outcome(SCENARIOS["single"].verdicts(run(**bad)), words) is False


def test_lateness_is_what_the_server_says() -> None:
    assert outcome(SCENARIOS["single"].verdicts(run()), "lateness p50") is True
    late = replace(SAID, lateness_p50_ns=20 * US)
    assert outcome(SCENARIOS["single"].verdicts(run(report=late)), "lateness p50") is False


def test_rates_are_taken_over_all_slices() -> None:
    def rated(*rates: float) -> Results:
        slices = [
            replace(measured(1), raw=replace(a_figure(1), rates=(40.0, rate))) for rate in rates
        ]
        return results(**{PHANTOMLINK: slices})

    assert outcome(SCENARIOS["many"].verdicts(rated(40.0, 40.03, 40.0)), "every client") is True
    assert outcome(SCENARIOS["many"].verdicts(rated(40.03, 40.03, 40.01)), "every client") is False
    assert outcome(SCENARIOS["many"].verdicts(rated(40.0, 0.0)), "every client") is False


def test_one_missing_packet_or_lost_connection_is_a_gap() -> None:
    assert outcome(SCENARIOS["many"].verdicts(run()), "no gap") is True
    gap = replace(a_figure(1), gaps=1)
    assert outcome(SCENARIOS["many"].verdicts(run(raw=gap)), "no gap") is False
    assert outcome(SCENARIOS["many"].verdicts(run(closed=("with 4408",))), "no gap") is False


def test_cpu_and_the_last_write() -> None:
    assert outcome(SCENARIOS["fast"].verdicts(run()), "40 %") is True
    crowd = SCENARIOS["crowd"].verdicts(run())
    assert outcome(crowd, "last accepted write") is True
    slow = replace(SAID, last_write_p50_ns=3001 * US)
    assert outcome(SCENARIOS["crowd"].verdicts(run(report=slow)), "last accepted write") is False


@pytest.mark.parametrize(("us", "holds"), [(1999, True), (2001, False)])
def test_beside_programs_that_compute_clients_have_their_packets_soon(us: int, holds: bool) -> None:
    one = a_figure(1)
    late = replace(one, transit=replace(one.transit, p50=us * US))
    busy = SCENARIOS["busy"].verdicts(run(raw=late, clean=late))
    assert outcome(busy, "from stamp to client") is holds
    assert outcome(busy, "every client") is True


def test_drift_is_judged_only_when_it_can_be_known() -> None:
    def drifting(ppm: float, resolution: float) -> bool | None:
        figures = replace(a_figure(1), drift_ppm=ppm, drift_resolution_ppm=resolution)
        return outcome(SCENARIOS["long"].verdicts(run(raw=figures)), "drift")

    assert drifting(0.5, 0.1) is True
    assert drifting(-1.5, 0.1) is False
    assert drifting(0.5, 3.0) is None


def test_the_seam_is_like_any_other_interval() -> None:
    def with_seam(error_us: float) -> bool | None:
        seams = (Seam(int(error_us * US), 20.0, False),)
        return outcome(SCENARIOS["long"].verdicts(run(ours=30, seams=seams)), "seam")

    assert with_seam(30) is True
    assert with_seam(31) is False
    assert outcome(SCENARIOS["long"].verdicts(run()), "seam") is None


def test_a_disturbed_session_may_be_three_times_as_late() -> None:
    notes = {
        "seconds": 10.0,
        "operations": 100.0,
        "requests": 500.0,
        "operations_failed": 0.0,
        "requests_failed": 0.0,
    }

    def churned(us: float, **changed: float) -> list[Verdict]:
        disturbed = [measured(us, notes=notes | changed)] * 2
        return SCENARIOS["churn"].verdicts(
            results(**{PHANTOMLINK: [measured(10)] * 2, CHURNED: disturbed})
        )

    assert [v.passed for v in churned(30)] == [True, True]
    assert [v.passed for v in churned(31)] == [False, True]
    assert [v.passed for v in churned(30, requests=400)] == [True, False]
    assert [v.passed for v in churned(30, operations_failed=1)] == [True, False]


def over_lsl(
    ours: float = 100, theirs: float = 60, beside: float = 30, **changes: object
) -> list[Verdict]:
    return SCENARIOS["lsl"].verdicts(
        results(
            **{
                PYLSL_DEADLINE: [measured(theirs)] * 3,
                PHANTOMLINK_LSL: [measured(ours, **changes)] * 3,
                PHANTOMLINK: [measured(30)] * 3,
                BESIDE_LSL: [measured(beside)] * 3,
            }
        )
    )


def test_over_lsl_it_is_within_twice_the_bare_loop() -> None:
    assert outcome(over_lsl(120, 60), "within 2x") is True
    assert outcome(over_lsl(121, 60), "within 2x") is False


def test_a_sample_that_is_missing_over_lsl_fails() -> None:
    assert outcome(over_lsl(), "no sample missing") is True
    assert outcome(over_lsl(raw=replace(a_figure(1), gaps=1)), "no sample missing") is False


@pytest.mark.parametrize("what", ["interval error p99", "stamp to client p50", "left late"])
def test_inlets_make_no_client_later(what: str) -> None:
    for beside, passed in ((20, True), (39, True), (41, False)):
        (verdict,) = [
            v for v in over_lsl(beside=beside) if "no later" in v.criterion and what in v.criterion
        ]
        assert verdict.passed is passed


def test_a_difference_that_may_be_nothing_is_no_lateness() -> None:
    slices = [measured(us) for us in (10, 60, 90)]
    found = SCENARIOS["lsl"].verdicts(
        results(**{PHANTOMLINK: [measured(30)] * 3, BESIDE_LSL: slices})
    )
    assert [v.passed for v in found if "no later" in v.criterion] == [True] * 3


@pytest.mark.parametrize(("us", "passed"), [(10, [True, True]), (11, [False, True])])
def test_perturbed_packets_are_no_later(us: float, passed: list[bool]) -> None:
    beside = {PHANTOMLINK: [measured(20)] * 3, PERTURBED: [measured(20 + us)] * 3}
    assert [v.passed for v in SCENARIOS["perturbed"].verdicts(results(**beside))] == passed
    beside[PERTURBED] = [measured(121)] * 3
    assert [v.passed for v in SCENARIOS["perturbed"].verdicts(results(**beside))] == [False, False]


def test_memory_and_routes() -> None:
    assert [v.passed for v in criteria.memory(119e6, 99e3)] == [True, True]
    assert [v.passed for v in criteria.memory(121e6, 101e3)] == [False, False]
    assert [v.passed for v in criteria.routes({"/a": 0.0009, "/b": 0.0011})] == [True, False]


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda s: s.name)
def test_what_was_not_measured_neither_passes_nor_fails(scenario) -> None:
    assert {v.passed for v in scenario.verdicts(Results())} == {None}


def test_the_report_shows_everybody_and_says_what_could_not_be_had() -> None:
    found = run()
    found.not_measured["pylsl-deadline"] = "LSL is not available: no liblsl"
    shown = text(found, not_permitted=None)
    assert "pylsl-deadline was not measured: LSL is not available: no liblsl" in shown
    for name in (FLOOR, PHANTOMLINK, ASYNCIO_DEADLINE):
        assert name in shown
    assert "Without the packets" in shown
    assert "Without the packets" not in text(found, not_permitted="Operation not permitted")
    assert "Operation not permitted" in text(found, not_permitted="Operation not permitted")


def test_verdicts_are_words_that_can_be_searched_for() -> None:
    shown = verdicts([Verdict("a", "1", True), Verdict("b", "2", False)], indication=False)
    assert "PASS  a: 1" in shown
    assert "FAIL  b: 2" in shown
