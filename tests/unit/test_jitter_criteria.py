"""Criteria hold or fail by the figures that count, and say so when there is none."""

from dataclasses import replace

import pytest

from tests.unit.test_jitter_slices import a_figure, a_slice
from tools.bench.harness.text import Verdict
from tools.bench.jitter import contestants as who
from tools.bench.jitter import criteria
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
    others = {who.FLOOR: 20, who.ASYNCIO_DEADLINE: 600} | (beside or {})
    slices = {name: [measured(us, notes=NOTES)] * 3 for name, us in others.items()}
    return Results({who.PHANTOMLINK: [measured(ours, **changes)] * 3} | slices)


def outcome(scenario: str, found: Results, words: str) -> bool | None:
    (verdict,) = [v for v in judged(scenario, found) if words in v.criterion]
    return verdict.passed


def judged(scenario: str, found: Results) -> list[Verdict]:
    return [criterion(found) for criterion in SCENARIOS[scenario].criteria]


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
        ("single", "2x of floor's", {"ours": 40}, True),
        ("single", "2x of floor's", {"ours": 41}, False),
        ("single", "150 us above floor's", {"ours": 170}, True),
        ("single", "150 us above floor's", {"ours": 171}, False),
        ("single", "of asyncio-deadline's", {"ours": 120}, True),
        ("single", "of asyncio-deadline's", {"ours": 121}, False),
        ("single", "server says", {}, True),
        ("single", "server says", {"report": replace(SAID, lateness_p50_ns=20 * US)}, False),
        ("many", "no gap", {}, True),
        ("many", "no gap", {"raw": replace(ONE, gaps=1)}, False),
        ("many", "no gap", {"closed": ("with 4408",)}, False),
        ("fast", "40 %", {}, True),
        ("fast", "40 %", {"usage": Usage(0.4)}, False),
        ("crowd", "last accepted write", {}, True),
        ("crowd", "last accepted", {"report": replace(SAID, last_write_p50_ns=3000 * US)}, False),
        ("busy", "from stamp to client", transit(1999), True),
        ("busy", "from stamp to client", transit(2001), False),
        ("busy", "every client", {}, True),
        ("long", "drift", drifting(0.5, 0.1), True),
        ("long", "drift", drifting(-1.5, 0.1), False),
        ("long", "drift", drifting(0.5, 3.0), None),
        ("long", "seam", seam(30), True),
        ("long", "seam", seam(31), False),
        ("long", "seam", {}, None),
        ("churn", "3x", {"beside": {who.CHURNED: 90}}, True),
        ("churn", "3x", {"beside": {who.CHURNED: 91}}, False),
        ("lsl", "2x", {"beside": {who.PHANTOMLINK_LSL: 120, who.PYLSL_DEADLINE: 60}}, True),
        ("lsl", "2x", {"beside": {who.PHANTOMLINK_LSL: 121, who.PYLSL_DEADLINE: 60}}, False),
        ("lsl", "no sample missing", {"beside": {who.PHANTOMLINK_LSL: 1}}, True),
        ("perturbed", "lateness p50", {"ours": 20, "beside": {who.PERTURBED: 30}}, True),
        ("perturbed", "lateness p50", {"ours": 20, "beside": {who.PERTURBED: 31}}, False),
        ("perturbed", "lateness p99", {"ours": 20, "beside": {who.PERTURBED: 120}}, True),
        ("perturbed", "lateness p99", {"ours": 20, "beside": {who.PERTURBED: 121}}, False),
    ],
)
def test_a_criterion_holds_up_to_its_limit(scenario, words, given, passed) -> None:
    assert outcome(scenario, run(**given), words) is passed


@pytest.mark.parametrize("what", ["without: interval", "without: from stamp", "without: lateness"])
@pytest.mark.parametrize(("beside", "passed"), [(20, True), (39, True), (41, False)])
def test_inlets_make_no_client_later(what: str, beside: float, passed: bool) -> None:
    assert outcome("lsl", run({who.BESIDE_LSL: beside}), what) is passed


def test_a_difference_that_may_be_nothing_is_no_lateness() -> None:
    slices = [measured(us) for us in (10, 60, 90)]
    found = Results({who.PHANTOMLINK: [measured(30)] * 3, who.BESIDE_LSL: slices})
    no_later = [v for v in judged("lsl", found) if "no later" in v.criterion]
    assert [v.passed for v in no_later] == [True] * 3


def test_rates_are_taken_over_all_slices() -> None:
    def holds(*rates: float) -> bool | None:
        slices = [replace(measured(1), raw=replace(ONE, rates=(40.0, rate))) for rate in rates]
        return outcome("many", Results({who.PHANTOMLINK: slices}), "every client")

    assert holds(40.0, 40.03, 40.0) is True
    assert holds(40.03, 40.03, 40.01) is False
    assert holds(40.0, 0.0) is False


@pytest.mark.parametrize(
    ("changed", "passed"), [({}, True), ({"requests": 400}, False), ({"requests_failed": 1}, False)]
)
def test_the_disturbance_has_to_disturb(changed: dict, passed: bool) -> None:
    found = Results({who.CHURNED: [measured(30, notes=NOTES | changed)] * 2})
    assert outcome("churn", found, "disturbance") is passed


def test_memory_and_routes() -> None:
    assert [v.passed for v in criteria.memory(119e6, 99e3)] == [True, True]
    assert [v.passed for v in criteria.memory(121e6, 101e3)] == [False, False]
    assert [v.passed for v in criteria.routes({"/a": 0.0009, "/b": 0.0011})] == [True, False]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_was_not_measured_neither_passes_nor_fails(scenario: str) -> None:
    assert {v.passed for v in judged(scenario, Results())} == {None}


def test_the_report_shows_everybody_and_says_what_could_not_be_had() -> None:
    found = run()
    found.not_measured["pylsl-deadline"] = "LSL is not available: no liblsl"
    shown = text(found, not_permitted=None)
    assert "pylsl-deadline was not measured: LSL is not available: no liblsl" in shown
    for name in (who.FLOOR, who.PHANTOMLINK, who.ASYNCIO_DEADLINE):
        assert name in shown
    assert "clean.interval.p50 (us)" in shown
    assert "Operation not permitted" in text(found, not_permitted="Operation not permitted")


def test_verdicts_are_words_that_can_be_searched_for() -> None:
    shown = verdicts([Verdict("a", "1", True), Verdict("b", "2", False)], indication=False)
    assert "PASS  a: 1" in shown
    assert "FAIL  b: 2" in shown
