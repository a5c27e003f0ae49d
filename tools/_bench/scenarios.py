"""The scenarios: what is asked of the server, who else is asked, and what has to come out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from . import criteria
from .names import (
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
    criteria: criteria.Criteria
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


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "single",
            "one session with one client, against everything else",
            criteria.single,
            contestants=_EVERYBODY,
        ),
        Scenario(
            "ten",
            "ten sessions with a client each, against the asyncio loop with ten",
            criteria.ten,
            sessions=10,
            contestants=(FLOOR, PHANTOMLINK, ASYNCIO_DEADLINE),
        ),
        Scenario(
            "many",
            "100 sessions with a client each",
            criteria.many,
            sessions=100,
            contestants=(FLOOR, FLOOR_LOADED, PHANTOMLINK, ASYNCIO_DEADLINE),
        ),
        Scenario("crowd", "one session with 200 clients", criteria.crowd, clients=200),
        Scenario(
            "busy",
            "one session with 30 clients beside programs that compute, two for each CPU",
            criteria.busy,
            clients=30,
            contestants=(FLOOR, PHANTOMLINK, ASYNCIO_DEADLINE),
            computing=2,
        ),
        Scenario(
            "fast",
            "one session at 1000 packets a second",
            criteria.fast,
            rate_hz=Fraction(1000),
            contestants=(FLOOR, PHANTOMLINK, PYLSL_DEADLINE),
        ),
        Scenario(
            "long",
            "ten minutes of one session: drift, and the seam of the loop",
            criteria.long,
            contestants=(PHANTOMLINK,),
            slices=1,
            slice_seconds=600.0,
            seam=True,
        ),
        Scenario(
            "churn",
            "one session while others come and go and REST is polled",
            criteria.churn,
            contestants=(FLOOR, PHANTOMLINK, CHURNED),
        ),
        Scenario(
            "lsl",
            "one session over LSL, and over WebSocket with and without LSL inlets beside",
            criteria.lsl,
            contestants=(PYLSL_DEADLINE, PHANTOMLINK_LSL, PHANTOMLINK, BESIDE_LSL),
            lsl=True,
        ),
        Scenario(
            "perturbed",
            "ten sessions with a client each, as recorded and perturbed",
            criteria.perturbed,
            sessions=10,
            contestants=(FLOOR, PHANTOMLINK, PERTURBED),
        ),
    )
}
