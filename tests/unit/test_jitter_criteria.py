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
ONE = a_figure(1)
NOTES = {
    "seconds": 10.0,
    "operations": 100.0,
    "requests": 500.0,
    "operations_failed": 0.0,
    "requests_failed": 0.0,
}


def measured(us: float, **changes: object) -> Measured:
    usual = {"report": SAID, "usage": Usage(0.3)}
    return replace(a_slice(us * US, us * US, 0.0), **(usual | changes))


def run(beside: dict[str, float] | None = None, ours: float = 30, **changes: object) -> Results:
    """Three slices of the server, with changes, and of others that are as late as told."""
    others = {FLOOR: 20, ASYNCIO_DEADLINE: 600} | (beside or {})
    slices = {name: [measured(us, notes=NOTES)] * 3 for name, us in others.items()}
    return results(**{PHANTOMLINK: [measured(ours, **changes)] * 3} | slices)


def outcome(scenario: str, found: Results, words: str) -> bool | None:
    (verdict,) = [v for v in SCENARIOS[scenario].verdicts(found) if words in v.criterion]
    return verdict.passed


def transit(us: float) -> dict:
    late = replace(ONE, transit=replace(ONE.transit, p50=us * US))
    return {"raw": late, "clean": late}


def drifting(ppm: float, resolution: float) -> dict:
    return {"raw": replace(ONE, drift_ppm=ppm, drift_resolution_ppm=resolution)}


def seam(error_us: int) -> dict:
    return {"seams": (Seam(error_us * US, 20.0, False),)}


@pytest.mark.parametrize(
    ("scenario", "words", "given", "passed"),
    [
        ("single", "p50 within 2x", {"ours": 40}, True),
        ("single", "p50 within 2x", {"ours": 41}, False),
        ("single", "p99 at most the floor's plus 150", {"ours": 170}, True),
        ("single", "p99 at most the floor's plus 150", {"ours": 171}, False),
        ("single", "5x below", {"ours": 120}, True),
        ("single", "5x below", {"ours": 121}, False),
        ("single", "lateness p50", {}, True),
        ("single", "lateness p50", {"report": replace(SAID, lateness_p50_ns=20 * US)}, False),
        ("many", "no gap", {}, True),
        ("many", "no gap", {"raw": replace(ONE, gaps=1)}, False),
        ("many", "no gap", {"closed": ("with 4408",)}, False),
        ("fast", "40 %", {}, True),
        ("fast", "40 %", {"usage": Usage(0.4)}, False),
        ("crowd", "last accepted write", {}, True),
        ("crowd", "last accepted", {"report": replace(SAID, last_write_p50_ns=3001 * US)}, False),
        ("busy", "from stamp to client", transit(1999), True),
        ("busy", "from stamp to client", transit(2001), False),
        ("busy", "every client", {}, True),
        ("long", "drift", drifting(0.5, 0.1), True),
        ("long", "drift", drifting(-1.5, 0.1), False),
        ("long", "drift", drifting(0.5, 3.0), None),
        ("long", "seam", seam(30), True),
        ("long", "seam", seam(31), False),
        ("long", "seam", {}, None),
        ("churn", "triple", {"beside": {CHURNED: 90}}, True),
        ("churn", "triple", {"beside": {CHURNED: 91}}, False),
        ("lsl", "within 2x", {"beside": {PHANTOMLINK_LSL: 120, PYLSL_DEADLINE: 60}}, True),
        ("lsl", "within 2x", {"beside": {PHANTOMLINK_LSL: 121, PYLSL_DEADLINE: 60}}, False),
        ("lsl", "no sample missing", {"beside": {PHANTOMLINK_LSL: 1}}, True),
        ("perturbed", "lateness p50", {"ours": 20, "beside": {PERTURBED: 30}}, True),
        ("perturbed", "lateness p50", {"ours": 20, "beside": {PERTURBED: 31}}, False),
        ("perturbed", "lateness p99", {"ours": 20, "beside": {PERTURBED: 120}}, True),
        ("perturbed", "lateness p99", {"ours": 20, "beside": {PERTURBED: 121}}, False),
    ],
)
def test_a_criterion_holds_up_to_its_limit(scenario, words, given, passed) -> None:
    assert outcome(scenario, run(**given), words) is passed


@pytest.mark.parametrize("what", ["without: interval", "stamp to client p50", "left late"])
@pytest.mark.parametrize(("beside", "passed"), [(20, True), (39, True), (41, False)])
def test_inlets_make_no_client_later(what: str, beside: float, passed: bool) -> None:
    assert outcome("lsl", run({BESIDE_LSL: beside}), what) is passed


def test_a_difference_that_may_be_nothing_is_no_lateness() -> None:
    slices = [measured(us) for us in (10, 60, 90)]
    found = results(**{PHANTOMLINK: [measured(30)] * 3, BESIDE_LSL: slices})
    no_later = [v for v in SCENARIOS["lsl"].verdicts(found) if "no later" in v.criterion]
    assert [v.passed for v in no_later] == [True] * 3


def test_rates_are_taken_over_all_slices() -> None:
    def holds(*rates: float) -> bool | None:
        slices = [replace(measured(1), raw=replace(ONE, rates=(40.0, rate))) for rate in rates]
        return outcome("many", results(**{PHANTOMLINK: slices}), "every client")

    assert holds(40.0, 40.03, 40.0) is True
    assert holds(40.03, 40.03, 40.01) is False
    assert holds(40.0, 0.0) is False


@pytest.mark.parametrize(
    ("changed", "passed"), [({}, True), ({"requests": 400}, False), ({"requests_failed": 1}, False)]
)
def test_the_disturbance_has_to_disturb(changed: dict, passed: bool) -> None:
    found = results(**{CHURNED: [measured(30, notes=NOTES | changed)] * 2})
    assert outcome("churn", found, "disturbance") is passed


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
    assert "clean.interval.p50 (us)" in shown
    assert "Operation not permitted" in text(found, not_permitted="Operation not permitted")


def test_verdicts_are_words_that_can_be_searched_for() -> None:
    shown = verdicts([Verdict("a", "1", True), Verdict("b", "2", False)], indication=False)
    assert "PASS  a: 1" in shown
    assert "FAIL  b: 2" in shown
