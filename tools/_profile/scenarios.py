"""What is profiled: how many sessions, clients and packets a second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some sessions that play at once.

    Attributes:
        sessions: each with a playhead of its own.
        clients: of each session, over WebSocket.
        rate_hz: packets a second of each session.
    """

    sessions: int
    clients: int
    rate_hz: int = 40

    @property
    def name(self) -> str:
        """As it is asked for and shown."""
        rate = "" if self.rate_hz == 40 else f"@{self.rate_hz}"
        return f"{self.sessions}x{self.clients}{rate}"

    @property
    def paths(self) -> list[str]:
        """Where the clients connect to."""
        return [f"/stream/tick-{s}" for s in range(self.sessions) for _ in range(self.clients)]


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(1, 1),
        Scenario(10, 1),
        Scenario(100, 1),
        Scenario(1, 50),
        Scenario(1, 1, 1000),
    )
}
