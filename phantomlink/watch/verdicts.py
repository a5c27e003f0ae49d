"""Promises about a stream as a whole: its rate, its steadiness, its losses, its end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from phantomlink.watch.figures import Figures

CLOSE_MEANINGS: Mapping[int, str] = {
    1000: "the recording ended, or the session was stopped",
    1001: "the server is going away",
    1006: "the connection broke without a goodbye",
    1008: "not allowed",
    1009: "a message was too big",
    1011: "the server failed",
    1013: "try again later",
    4408: "this client was too slow",
    4410: "the session expired or was deleted",
}

# (packets - 1) / (last - first) is off by the jitter of two packets at most: under 1 % of 100
# periods when each is up to half a period late. With fewer packets it weighs more.
_TOLERANCE, _TOLERANCE_OF_FEW, _FEW = 0.01, 0.02, 100
_SILENCE_SECONDS, _SILENCE_PERIODS = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One promise, and whether it was kept.

    Attributes:
        name: the same in every run.
        passed: whether it was kept.
        detail: what was seen.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Closed:
    """How the server ended the connection: a WebSocket close code and its text."""

    code: int
    reason: str


NO_PACKET = "no packet came"


def allowed_silence(frequency_hz: float | None, seconds: float = _SILENCE_SECONDS) -> float:
    """How long a stream may be silent, s: so long, or some periods where these are longer.

    Args:
        frequency_hz: packets a second, as announced; None when they were not.
        seconds: that are allowed at any rate.
    """
    return max(seconds, _SILENCE_PERIODS / (frequency_hz or _SILENCE_PERIODS))


def judge_rate(
    figures: Figures, frequency_hz: float | None, *, name: str = "the rate is frequency_hz"
) -> CheckResult:
    """Whether packets came as often as announced.

    Args:
        figures: what was measured.
        frequency_hz: as announced; None when it was not.
        name: of the check.
    """
    if frequency_hz is None:
        return CheckResult(name, False, "the metadata does not say what it should be")
    if figures.rate_hz is None:
        return CheckResult(name, False, f"too few packets to say: {figures.packets}")
    few = figures.packets < _FEW
    tolerance = _TOLERANCE_OF_FEW if few else _TOLERANCE
    off = figures.rate_hz / frequency_hz - 1
    why = f", as there are fewer than {_FEW} packets" if few else ""
    return CheckResult(
        name,
        abs(off) <= tolerance,
        f"{figures.rate_hz:.3f} Hz, {off:+.2%} from {frequency_hz:g} Hz; "
        f"{tolerance:.0%} is allowed{why}",
    )


def judge_silence(
    figures: Figures, frequency_hz: float | None, *, name: str = "packets keep coming"
) -> CheckResult:
    """Whether packets kept coming, to the end of the watching.

    Args:
        figures: what was measured.
        frequency_hz: as announced; None when it was not.
        name: of the check.
    """
    longest_s = figures.longest_silence_seconds
    if not figures.packets:
        return CheckResult(name, False, f"no packet in {longest_s:.1f} s")
    allowed_s = allowed_silence(frequency_hz)
    return CheckResult(
        name,
        longest_s <= allowed_s,
        f"at most {longest_s:.3f} s without one; {allowed_s:g} s is allowed",
    )


def judge_losses(figures: Figures) -> CheckResult:
    """Whether every packet of the playback reached this client."""
    name = "no packet was lost"
    if not figures.packets:
        return CheckResult(name, False, NO_PACKET)
    if figures.gaps:
        gaps = "1 gap" if figures.gaps == 1 else f"{figures.gaps} gaps"
        return CheckResult(name, False, f"{figures.lost} lost in {gaps}")
    return CheckResult(name, True, "no gap")


def judge_end(closed: Closed | None) -> CheckResult:
    """Whether the server had a good reason to end the stream, if it did."""
    name = "it ends as it should"
    if closed is None:
        return CheckResult(name, True, "still open when we left")
    meaning = CLOSE_MEANINGS.get(closed.code, "a code that the contract does not have")
    said = f" ({closed.reason})" if closed.reason else ""
    return CheckResult(
        name, closed.code == 1000, f"the server closed with {closed.code}{said}: {meaning}"
    )
