"""What is odd in a recording: where, what it is, and what a person can do about it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from phantomlink.files.shown import shown


class Severity(IntEnum):
    """How much a person must know of it; the highest are said at the start of a server."""

    DETAIL = 0
    """What is sent was derived, or a detail of the file is odd."""
    ABSENT = 1
    """The recording has no such thing."""
    LEFT_OUT = 2
    """The recording has it, and it is not played."""
    DOUBTFUL = 3
    """It is played, and may be wrong."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that is odd.

    Attributes:
        place: path in the file, or what was looked for.
        what: what was found there, and what is done with it.
        remedy: what a person can do; empty where there is nothing to do.
        options: flags with values that would change it, without the dashes.
        severity: how much a person must know of it.
    """

    place: str
    what: str
    remedy: str = ""
    options: tuple[tuple[str, str], ...] = ()
    severity: Severity = Severity.LEFT_OUT

    def __str__(self) -> str:
        said = f"{shown(self.place)}: {shown(self.what, 600)}"
        if self.remedy:
            said += f"; {self.remedy}"
        if self.options:
            said += f": {self.flags}" if self.remedy else f"; try {self.flags}"
        return said

    @property
    def flags(self) -> str:
        """The options as a shell takes them."""
        return " ".join(f"--{name} {shlex.quote(shown(value))}" for name, value in self.options)


def most_important(anomalies: Iterable[Anomaly], at_most: int) -> list[Anomaly]:
    """Those that a person must know of first; what is merely derived is none of them."""
    told = [anomaly for anomaly in anomalies if anomaly.severity > Severity.DETAIL]
    return sorted(told, key=lambda anomaly: -anomaly.severity)[:at_most]


class AnomalyList:
    """What readers of one file have noticed, each place and fact once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Anomaly] = {}

    def __iter__(self) -> Iterator[Anomaly]:
        return iter(self._found.values())

    def add(
        self,
        place: str,
        what: str,
        remedy: str = "",
        *,
        options: Iterable[tuple[str, str]] = (),
        severity: Severity = Severity.LEFT_OUT,
    ) -> None:
        """Note one; see `Anomaly`."""
        anomaly = Anomaly(place, what, remedy, tuple(options), severity)
        self._found.setdefault((place, what), anomaly)
