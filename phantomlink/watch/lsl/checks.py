"""What a session promises over LSL, and whether it was kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phantomlink.watch.figures import Figures
from phantomlink.watch.lsl.facts import StreamFacts, problems
from phantomlink.watch.lsl.figures import StampFigures
from phantomlink.watch.lsl.names import NEURAL, OUTLETS
from phantomlink.watch.verdicts import CheckResult, judge_rate, judge_silence

NO_SAMPLE = "no sample came"


@dataclass(frozen=True, slots=True)
class ServerCount:
    """What the server's REST said before and after, beside what came in between.

    Attributes:
        sent: packets of the unfiltered playhead that left between the two questions.
        received: samples of the neural stream with a timestamp between them.
        uncertain: packets that were due while a question was under way: they may be on either
            side of it.
        first_packet_id: bin of the first of these packets.
        next_packet_id: bin that was to be sent when the server was asked last.
        follows: whether `next_packet_id` is `sent` bins after the first one: no seek.
    """

    sent: int
    received: int
    uncertain: int
    first_packet_id: int
    next_packet_id: int
    follows: bool

    @property
    def lost(self) -> int:
        """Packets that certainly left and did not come."""
        return max(self.sent - self.received - self.uncertain, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that the checks need.

    Attributes:
        facts: of each stream that was found, by its kind.
        figures: of the arrivals of the neural stream.
        stamps: of each regular stream that was found.
        missing_beside: samples that a stream lacks and another one has.
        negative_counts: samples of the neural stream with a count below 0 or no whole number.
        server: None when the server could not be asked.
        ended: kinds of the streams that went away while they were watched.
    """

    facts: Mapping[str, StreamFacts]
    figures: Figures
    stamps: Mapping[str, StampFigures]
    missing_beside: Mapping[str, int]
    negative_counts: int
    server: ServerCount | None
    ended: Sequence[str]


def judge(seen: Seen) -> tuple[CheckResult, ...]:
    """All checks, in the order in which a person reads them."""
    neural = seen.facts[NEURAL]
    rate_hz = neural.nominal_rate_hz if neural.nominal_rate_hz > 0 else None
    return (
        _all_there(seen),
        _described(seen),
        judge_rate(seen.figures, rate_hz, name="the rate is the nominal rate"),
        judge_silence(seen.figures, rate_hz, name="samples keep coming"),
        _increasing(seen),
        _counts(seen),
        _losses(seen),
        _same_stamps(seen),
        _end(seen),
    )


def _all_there(seen: Seen) -> CheckResult:
    name = "all streams are there"
    missing = [kind for kind in OUTLETS if kind not in seen.facts]
    if missing:
        return CheckResult(name, False, f"not found: {', '.join(missing)}")
    return CheckResult(name, True, ", ".join(seen.facts))


def _described(seen: Seen) -> CheckResult:
    name = "they are described as they should be"
    found = [
        f"{kind}: {problem}"
        for kind, facts in seen.facts.items()
        for problem in problems(facts, OUTLETS[kind])
    ]
    if found:
        return CheckResult(name, False, "; ".join(found[:5]))
    return CheckResult(name, True, "types, formats, a label for every channel")


def _increasing(seen: Seen) -> CheckResult:
    name = "timestamps increase"
    if not seen.figures.packets:
        return CheckResult(name, False, NO_SAMPLE)
    backwards = {kind: each.steps.backwards for kind, each in seen.stamps.items()}
    if any(backwards.values()):
        said = ", ".join(f"{kind} {n} times" for kind, n in backwards.items() if n)
        return CheckResult(name, False, f"not in {said}")
    return CheckResult(name, True, "every time, in every stream")


def _counts(seen: Seen) -> CheckResult:
    name = "counts are whole numbers from 0"
    if not seen.figures.packets:
        return CheckResult(name, False, NO_SAMPLE)
    if seen.negative_counts:
        return CheckResult(name, False, f"not in {seen.negative_counts} samples")
    return CheckResult(name, True, f"in {seen.figures.packets} samples")


def _losses(seen: Seen) -> CheckResult:
    """By the server's count where it can be had, else by the timestamps alone."""
    name = "no sample was lost"
    if not seen.figures.packets:
        return CheckResult(name, False, NO_SAMPLE)
    steps = seen.stamps[NEURAL].steps
    server = seen.server
    if server is None:
        said = (
            f"{steps.missing} missing in {steps.gaps} gaps of the timestamps"
            if steps.missing
            else "no gap in the timestamps"
        )
        return CheckResult(name, not steps.missing, f"{said}; the server could not be asked")
    said = f"the server sent {server.sent}, {server.received} came"
    if server.uncertain:
        said += f", {server.uncertain} were due while it was asked"
    if server.lost:
        return CheckResult(name, False, f"{said}: {server.lost} lost")
    if steps.missing and server.uncertain:
        # Neither can be told from the other then; what was not seen is not called kept.
        return CheckResult(name, False, f"{said}; {steps.missing} missing in the timestamps")
    if steps.missing:
        said += f"; the {steps.gaps} gaps of the timestamps were pauses"
    return CheckResult(name, True, said)


def _same_stamps(seen: Seen) -> CheckResult:
    name = "the streams have the same timestamps"
    if not seen.figures.packets:
        return CheckResult(name, False, NO_SAMPLE)
    if len(seen.stamps) < 2:
        return CheckResult(name, True, "there is only one stream with a rate")
    lacking = [f"{kind} lacks {n}" for kind, n in seen.missing_beside.items() if n]
    if lacking:
        return CheckResult(name, False, f"{', '.join(lacking)} that another one has")
    return CheckResult(name, True, ", ".join(seen.stamps))


def _end(seen: Seen) -> CheckResult:
    name = "they are there to the end"
    if seen.ended:
        gone = ", ".join(seen.ended)
        return CheckResult(
            name, False, f"{gone} went away: the session or its server ended, or its speed changed"
        )
    return CheckResult(name, True, "still there when we left")
