"""Silences of a stream, and what the server says of why. Pure.

Whoever watches looks a few times a second: `ended` tells of a silence that is over, `is_due`
whether to ask the server's REST now, and `learned` takes what that says. A reason is told once, and
again when it has become another. A silence that is shorter than it takes to be told leaves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from phantomlink.watch.figures import Arrivals
from phantomlink.watch.rest import RestAnswer
from phantomlink.watch.verdicts import allowed_silence

LOOK_SECONDS = 0.25
"""How often to look."""
# Twice what is allowed: a machine that is busy for a moment is no silence to tell of.
_TOLD_SECONDS = 2.0
_ASK_AGAIN_NS = 2_000_000_000
# A stream that is watched for a day may rest often; what is said on stderr has them all.
_KEPT = 100

Kind = Literal[
    "paused", "stopped", "waiting", "playing", "not playing", "no session", "refused", "unreachable"
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why nothing comes.

    Attributes:
        kind: what programs tell apart.
        text: for a person, one line.
    """

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Silence:
    """A time without a packet.

    Attributes:
        from_seconds: when the last packet before it came, s after the connection was open.
        seconds: how long it was, until the next packet or the end of the watching.
        is_over: whether packets came again.
        reasons: what the server said meanwhile, in this order.
    """

    from_seconds: float
    seconds: float
    is_over: bool
    reasons: tuple[Reason, ...]


def why_silent(
    answer: RestAnswer, api_url: str, code: str, wanted: Mapping[str, int] | None = None
) -> Reason:
    """What the server's answer about a session says of its silence.

    Args:
        answer: to `GET /api/sessions/{code}`.
        api_url: of the server; no slash at its end.
        code: of the session.
        wanted: the filter of the stream, by name; empty for none.
    """
    if answer.status is None:
        return Reason("unreachable", f"the server at {api_url} does not answer")
    if answer.status == 404:
        return Reason("no session", f"the server at {api_url} has no session {code!r}")
    session = answer.body
    if session is None or not answer.is_success:
        said = f" ({answer.detail})" if answer.detail else ""
        return Reason(
            "refused",
            f"{api_url}/api/sessions/{code} does not say why: status {answer.status}{said}",
        )
    resume = f"POST {api_url}/api/control/{code}/resume lets it go on"
    if session.get("is_paused") is True:
        return Reason("paused", f"the session is paused; {resume}")
    if session.get("is_stopped") is True:
        return Reason("stopped", f"the session has been stopped; {resume}")
    playhead = _playhead(session, wanted or {})
    waiting_for = playhead.get("waiting_for")
    if waiting_for is not None:
        return Reason("waiting", f"the session waits for its recording: {waiting_for}")
    if playhead.get("is_playing", session.get("is_running")):
        held = ", and perturbed, which may hold packets back" if session.get("perturbation") else ""
        return Reason("playing", f"the server says of the session that it is playing{held}")
    return Reason("not playing", "the server says of the session that it is not playing")


class SilenceLog:
    """The silences of one stream, as they are noticed.

    Args:
        arrivals: of its packets; somebody else fills it.
        what: a packet is called.
    """

    def __init__(self, arrivals: Arrivals, what: str = "packet") -> None:
        self._arrivals = arrivals
        self._what = what
        self._over: list[Silence] = []
        self._reasons: list[Reason] = []
        # Packets that had come when the present one began; None when there is none.
        self._after: int | None = None
        self._asked_ns: int | None = None

    def ended(self) -> str | None:
        """A line when packets come again after a silence that was told."""
        times = self._arrivals.packets_ns
        if self._after is None or len(times) == self._after:
            return None
        silence = self._silence(self._after, times[self._after], is_over=True)
        self._after = self._asked_ns = None
        self._reasons = []
        if len(self._over) < _KEPT:
            self._over.append(silence)
        return f"{self._what}s come again, after {silence.seconds:.1f} s"

    def is_due(self, now_ns: int, frequency_hz: float | None) -> bool:
        """Whether to ask the server now.

        Args:
            now_ns: monotonic.
            frequency_hz: packets a second, as announced; None when that is not known.
        """
        arrivals = self._arrivals
        if arrivals.opened_ns <= arrivals.connecting_ns:
            return False
        if self._asked_ns is not None and now_ns - self._asked_ns < _ASK_AGAIN_NS:
            return False
        return arrivals.silent_seconds(now_ns) > allowed_silence(frequency_hz, _TOLD_SECONDS)

    def begin(self, now_ns: int) -> int:
        """The server is being asked. Answers how many packets have come until now."""
        self._asked_ns = now_ns
        return len(self._arrivals.packets_ns)

    def learned(self, n_packets: int, reason: Reason, now_ns: int) -> str | None:
        """The server has answered. A line, unless that has been told already or is of the past.

        Args:
            n_packets: what `begin` answered.
            reason: why nothing comes.
            now_ns: monotonic.
        """
        if n_packets != len(self._arrivals.packets_ns):
            self._asked_ns = None
            return None
        self._after = n_packets
        if self._reasons and self._reasons[-1] == reason:
            return None
        if len(self._reasons) < _KEPT:
            self._reasons.append(reason)
        return f"{self.said(now_ns)}: {reason.text}"

    def said(self, now_ns: int) -> str:
        """How long it has been silent, in words."""
        which = "no more" if self._arrivals.packets_ns else "no"
        plural = "s" if self._arrivals.packets_ns else ""
        seconds = self._arrivals.silent_seconds(now_ns)
        return f"{which} {self._what}{plural} for the last {seconds:.1f} s"

    def silences(self) -> tuple[Silence, ...]:
        """Those that were told, the first hundred; the last may go on to the end."""
        if self._after is None:
            return tuple(self._over)
        now = self._silence(self._after, self._arrivals.ended_ns, is_over=False)
        return (*self._over, now)

    def _silence(self, after: int, until_ns: int, *, is_over: bool) -> Silence:
        arrivals = self._arrivals
        began_ns = arrivals.packets_ns[after - 1] if after else arrivals.opened_ns
        return Silence(
            (began_ns - arrivals.opened_ns) / 1e9,
            (until_ns - began_ns) / 1e9,
            is_over,
            tuple(self._reasons),
        )


def _playhead(session: Mapping[str, Any], wanted: Mapping[str, int]) -> Mapping[str, Any]:
    """What is said of the playhead that plays this filter: the session's own without one."""
    filtered = session.get("filtered")
    if wanted and isinstance(filtered, list):
        for each in filtered:
            theirs = each.get("filter") if isinstance(each, dict) else None
            if isinstance(theirs, dict) and wanted == {
                name: value for name, value in theirs.items() if value is not None
            }:
                assert isinstance(each, dict)
                return each
    return session
