"""The scenarios: what is asked of the server, who else is asked, and what has to come out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from . import contestants as who
from . import criteria as c

_NO_GAP = c.no_gap("no gap", who.PHANTOMLINK)
_LATE = c.server_says("lateness p50", "lateness_p50_ns", 60)
_LAST_WRITE = c.server_says("last accepted write p50", "last_write_p50_ns", 3000)
_AT_40_HZ = (c.rates(39.98, 40.02), _NO_GAP)
_LOOPS = (who.ASYNCIO_DEADLINE, who.ASYNCIO_SLEEP, who.PYLSL_DEADLINE)


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
        lsl: whether the server has LSL; without, its figures are of WebSocket alone.
        computing: programs for each CPU that only compute, beside everybody.
    """

    name: str
    about: str
    criteria: tuple[c.Criterion, ...]
    sessions: int = 1
    clients: int = 1
    rate_hz: Fraction = Fraction(40)
    contestants: tuple[str, ...] = (who.FLOOR, who.PHANTOMLINK)
    slices: int = 20
    slice_seconds: float = 15.0
    seam: bool = False
    lsl: bool = False
    computing: int = 0

    @property
    def connections(self) -> int:
        """Connections that are measured."""
        return self.sessions * self.clients


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "single",
            "one session with one client, against everything else",
            (
                c.ratio(who.PHANTOMLINK, who.FLOOR, "interval.p50", 2),
                c.more(who.PHANTOMLINK, who.FLOOR, "interval.p99", 150),
                c.ratio(who.PHANTOMLINK, who.ASYNCIO_DEADLINE, "interval.p50", 0.2),
                c.server_says("lateness p50", "lateness_p50_ns", 20),
            ),
            contestants=(who.FLOOR, who.PHANTOMLINK, *_LOOPS),
        ),
        Scenario(
            "ten",
            "ten sessions with a client each, against the asyncio loop with ten",
            (*_AT_40_HZ, _LATE),
            sessions=10,
            contestants=(who.FLOOR, who.PHANTOMLINK, who.ASYNCIO_DEADLINE),
        ),
        Scenario(
            "many",
            "100 sessions with a client each",
            (
                *(*_AT_40_HZ, _LATE, c.cpu_under(1, "one core")),
                c.more(who.PHANTOMLINK, who.FLOOR, "release.p99", 500),
            ),
            sessions=100,
            contestants=(who.FLOOR, who.FLOOR_LOADED, who.PHANTOMLINK, who.ASYNCIO_DEADLINE),
        ),
        Scenario("crowd", "one session with 200 clients", (*_AT_40_HZ, _LAST_WRITE), clients=200),
        Scenario(
            "busy",
            "one session with 30 clients beside programs that compute, two for each CPU",
            (*_AT_40_HZ, c.transit_p50(2)),
            clients=30,
            contestants=(who.FLOOR, who.PHANTOMLINK, who.ASYNCIO_DEADLINE),
            computing=2,
        ),
        Scenario(
            "fast",
            "one session at 1000 packets a second",
            (
                *(c.rates(999.9, 1000.1), _NO_GAP),
                c.ratio(who.PHANTOMLINK, who.FLOOR, "interval.p50", 2),
                c.more(who.PHANTOMLINK, who.FLOOR, "interval.p99", 200),
                c.cpu_under(0.4, "40 % of a core"),
            ),
            rate_hz=Fraction(1000),
            contestants=(who.FLOOR, who.PHANTOMLINK, who.PYLSL_DEADLINE),
        ),
        Scenario(
            "long",
            "ten minutes of one session: drift, and the seam of the loop",
            (*_AT_40_HZ, c.drift, c.seam),
            contestants=(who.PHANTOMLINK,),
            slices=1,
            slice_seconds=600.0,
            seam=True,
        ),
        Scenario(
            "churn",
            "one session while others come and go and REST is polled",
            (c.ratio(who.CHURNED, who.PHANTOMLINK, "interval.p99", 3), c.disturbance),
            contestants=(who.FLOOR, who.PHANTOMLINK, who.CHURNED),
        ),
        Scenario(
            "lsl",
            "one session over LSL, and over WebSocket with and without LSL inlets beside",
            (
                c.ratio(who.PHANTOMLINK_LSL, who.PYLSL_DEADLINE, "interval.p99", 2),
                c.no_gap("over LSL, no sample missing by the timestamps", who.PHANTOMLINK_LSL),
                *map(c.no_later, ("interval.p99", "transit.p50", "release.p99")),
            ),
            contestants=(who.PYLSL_DEADLINE, who.PHANTOMLINK_LSL, who.PHANTOMLINK, who.BESIDE_LSL),
            lsl=True,
        ),
        Scenario(
            "perturbed",
            "ten sessions with a client each, as recorded and perturbed",
            (
                c.more(who.PERTURBED, who.PHANTOMLINK, "release.p50", 10),
                c.more(who.PERTURBED, who.PHANTOMLINK, "release.p99", 100),
            ),
            sessions=10,
            contestants=(who.FLOOR, who.PHANTOMLINK, who.PERTURBED),
        ),
    )
}
