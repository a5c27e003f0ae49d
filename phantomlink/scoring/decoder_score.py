"""One name on a scoreboard: when it was connected, what it answered, how well."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from typing import Literal

from phantomlink.scoring.counters import AnswerCounters, Latencies
from phantomlink.scoring.packets import Kinematics, SentPacket
from phantomlink.scoring.rules import ScoringRules
from phantomlink.scoring.run_score import RunScore, WindowScore, done, score_rows
from phantomlink.scoring.trial_rows import Answers, TrialRows, answers_of

Acceptance = Literal["scored", "duplicate", "unknown"]


class DecoderScore:
    """A decoder's run.

    Packets count from the first one that it answers over a connection (or from where
    `count_from` says) to the last one that was sent before that connection closed.

    Args:
        name: of the decoder.
        rules: of the scoreboard.

    Attributes:
        connection: whose name it is; None while nobody is connected.
        playhead: whose packets it answers.
        counters: what became of its answers.
        latencies: of its answers.
        unscored: trials that do not enter its score, because it was fitted to them.
    """

    def __init__(self, name: str, rules: ScoringRules) -> None:
        self.name = name
        self.connection: Hashable | None = None
        self.playhead: Hashable | None = None
        self.unscored: frozenset[int] = frozenset()
        self._rules = rules
        self._spans: list[_Span] = []
        self._is_counting = False
        self.reset()

    def reset(self, next_sequence_number: int = 0) -> None:
        """Begin a new run with this packet of its playhead; who is connected stays so."""
        self.counters = AnswerCounters()
        self.latencies = Latencies()
        self._run = RunScore(self._rules)
        self._held: Kinematics | None = None
        self._latest_answered: int | None = None
        # What was sent before belongs to the run before.
        self._earliest = next_sequence_number
        is_counting = self._is_counting
        self._spans.clear()
        self._is_counting = False
        if is_counting:
            self.count_from(next_sequence_number)

    def claim(self, connection: Hashable, playhead: Hashable) -> None:
        """The name belongs to a connection now; packets count from the first one it answers."""
        if self.playhead != playhead:
            self._earliest = 0
        self.connection, self.playhead = connection, playhead
        self._is_counting = False
        self._latest_answered = None

    def count_from(self, sequence_number: int) -> None:
        """Packets count from this one on, whether answered or not."""
        self._spans.append(_Span(self.playhead, sequence_number))
        self._is_counting = True

    def release(self, last_sequence_number: int) -> None:
        """The connection is gone: no packet after this one counts, until another has the name."""
        self.connection = None
        if self._is_counting:
            self._spans[-1].last = last_sequence_number
            self._is_counting = False

    def accept(self, packet: SentPacket, values: Kinematics, received_ns: int) -> Acceptance:
        """Take an answer to an open packet."""
        sequence_number = packet.sequence_number
        if sequence_number < self._earliest:
            return "unknown"
        if self.name in packet.answers:
            return "duplicate"
        packet.answers[self.name] = values
        if not self._is_counting:
            self.count_from(sequence_number)
        span = self._spans[-1]
        span.first = min(span.first, sequence_number)
        if self._latest_answered is not None and sequence_number < self._latest_answered:
            self.counters.out_of_order += 1
        else:
            self._latest_answered = sequence_number
        latency_ns = received_ns - packet.sent_ns
        self.counters.late += latency_ns > self._rules.period_ns
        self.latencies.add(latency_ns)
        return "scored"

    def closed(self, playhead: Hashable, packet: SentPacket) -> bool:
        """A packet is closed; answers whether it counts for this decoder."""
        sequence_number = packet.sequence_number
        if len(self._spans) > 1:
            # Packets close in the order of sending: a span that ended before this one is over.
            spans = [span for span in self._spans if not span.is_over(playhead, sequence_number)]
            self._spans = spans
        for span in self._spans:
            if span.covers(playhead, sequence_number):
                break
        else:
            return False
        self.counters.closed += 1
        self.counters.answered += self.name in packet.answers
        return True

    def whole(self, window: str, variant: str) -> WindowScore:
        """Of the trials that are over."""
        return self._run.whole(window, variant)

    def adding(
        self, rows: TrialRows, packets: Sequence[SentPacket], counted: Sequence[bool]
    ) -> Generator[None, None, Answers | None]:
        """Add a trial that is over, step by step.

        Returns:
            What the decoder said to it; None where that is not scored.
        """
        answers, self._held = answers_of(self.name, packets, counted, self._held)
        yield
        if rows.trial.trial_id in self.unscored:
            return None
        yield from self._run.adding(rows, answers)
        return answers

    def run_with(
        self, rows: TrialRows | None, packets: Sequence[SentPacket], counted: Sequence[bool]
    ) -> RunScore:
        """The score so far, with the closed packets of the trial that is still being played."""
        if rows is None or not any(counted) or rows.trial.trial_id in self.unscored:
            return self._run
        run = self._run.copy()
        done(run.adding(rows, answers_of(self.name, packets, counted, self._held)[0]))
        return run

    def latest(
        self, packets: Sequence[SentPacket], counted: Sequence[bool], before: Kinematics | None
    ) -> dict[tuple[str, str], WindowScore]:
        """Scores of some packets alone; `before` is the last answer before them."""
        counted = [
            is_counted and packet.trial_id not in self.unscored
            for packet, is_counted in zip(packets, counted, strict=True)
        ]
        if not any(counted):
            return {}
        answers, _ = answers_of(self.name, packets, counted, before)
        return score_rows(TrialRows.of(packets), answers, self._rules, with_lag=False)


class _Span:
    """Packets [first, last] of a playhead; `last` None while the connection is open."""

    __slots__ = ("first", "last", "playhead")

    def __init__(self, playhead: Hashable, first: int) -> None:
        self.playhead = playhead
        self.first = first
        self.last: int | None = None

    def covers(self, playhead: Hashable, sequence_number: int) -> bool:
        is_before_end = self.last is None or sequence_number <= self.last
        return playhead == self.playhead and self.first <= sequence_number and is_before_end

    def is_over(self, playhead: Hashable, sequence_number: int) -> bool:
        return playhead == self.playhead and self.last is not None and sequence_number > self.last
