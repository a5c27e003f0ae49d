"""The scenarios: what is asked of the server, who else is asked, and what has to come out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from ..harness.text import Verdict
from . import criteria as c
from .contestants import (
    ASYNCIO_DEADLINE,
    ASYNCIO_SLEEP,
    BESIDE_LSL,
    CHURNED,
    FLOOR,
    FLOOR_LOADED,
    PERTURBED,
    PHANTOMLINK,
    PHANTOMLINK_LSL,
    PYLSL_DEADLINE,
)
from .slices import Results

_NO_GAP = c.no_gap("no gap", PHANTOMLINK)
_AT_40_HZ = (c.rates(39.98, 40.02), _NO_GAP)
_EVERYBODY = (FLOOR, PHANTOMLINK, ASYNCIO_DEADLINE, ASYNCIO_SLEEP, PYLSL_DEADLINE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of run.

    Attributes:
        name: of the command line.
        about: a line for people.
        criteria: what has to hold.
        sessions: at once.
        clients: of each session.
        rate_hz: packets a second.
        contestants: who is measured, in this order.
        slices: rounds.
        slice_seconds: length of each slice.
        seam: whether sessions start just before the end of the recording.
        other_sessions: that the server has to take beside the measured ones.
        lsl: whether the server has LSL; without, its figures are of WebSocket alone.
        computing: programs for each CPU that only compute, beside everybody.
    """

    name: str
    about: str
    criteria: tuple[c.Criterion, ...]
    sessions: int = 1
    clients: int = 1
    rate_hz: Fraction = Fraction(40)
    contestants: tuple[str, ...] = (FLOOR, PHANTOMLINK)
    slices: int = 20
    slice_seconds: float = 15.0
    seam: bool = False
    other_sessions: int = 10
    lsl: bool = False
    computing: int = 0

    def verdicts(self, results: Results) -> list[Verdict]:
        """Every criterion, of a run of it."""
        return [criterion(results) for criterion in self.criteria]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "single",
            "one session with one client, against everything else",
            (c.FLOOR_P50, c.floor_p99(150), c.ASYNCIO_P50, c.server_p50(20)),
            contestants=_EVERYBODY,
        ),
        Scenario(
            "ten",
            "ten sessions with a client each, against the asyncio loop with ten",
            (*_AT_40_HZ, c.server_p50(60)),
            sessions=10,
            contestants=(FLOOR, PHANTOMLINK, ASYNCIO_DEADLINE),
        ),
        Scenario(
            "many",
            "100 sessions with a client each",
            (*_AT_40_HZ, c.server_p50(60), c.MANY_P99, c.cpu_under(1, "one core")),
            sessions=100,
            contestants=(FLOOR, FLOOR_LOADED, PHANTOMLINK, ASYNCIO_DEADLINE),
        ),
        Scenario("crowd", "one session with 200 clients", (*_AT_40_HZ, c.LAST_WRITE), clients=200),
        Scenario(
            "busy",
            "one session with 30 clients beside programs that compute, two for each CPU",
            (*_AT_40_HZ, c.SOON),
            clients=30,
            contestants=(FLOOR, PHANTOMLINK, ASYNCIO_DEADLINE),
            computing=2,
        ),
        Scenario(
            "fast",
            "one session at 1000 packets a second",
            (
                *(c.rates(999.9, 1000.1), _NO_GAP, c.FLOOR_P50, c.floor_p99(200)),
                c.cpu_under(0.4, "40 % of a core"),
            ),
            rate_hz=Fraction(1000),
            contestants=(FLOOR, PHANTOMLINK, PYLSL_DEADLINE),
        ),
        Scenario(
            "long",
            "ten minutes of one session: drift, and the seam of the loop",
            (*_AT_40_HZ, c.drift, c.seam),
            contestants=(PHANTOMLINK,),
            slices=1,
            slice_seconds=600.0,
            seam=True,
        ),
        Scenario(
            "churn",
            "one session while others come and go and REST is polled",
            (c.CHURNED_P99, c.disturbance),
            contestants=(FLOOR, PHANTOMLINK, CHURNED),
        ),
        Scenario(
            "lsl",
            "one session over LSL, and over WebSocket with and without LSL inlets beside",
            (
                c.LSL_P99,
                c.no_gap("over LSL, no sample missing from the timestamps' grid", PHANTOMLINK_LSL),
                c.no_later("interval error p99", c.INTERVAL_P99),
                c.no_later("from stamp to client p50", c.TRANSIT_P50),
                c.no_later("left late (stamps) p99", c.RELEASE_P99),
            ),
            contestants=(PYLSL_DEADLINE, PHANTOMLINK_LSL, PHANTOMLINK, BESIDE_LSL),
            lsl=True,
        ),
        Scenario(
            "perturbed",
            "ten sessions with a client each, as recorded and perturbed",
            (c.PERTURBED_P50, c.PERTURBED_P99),
            sessions=10,
            contestants=(FLOOR, PHANTOMLINK, PERTURBED),
        ),
    )
}
