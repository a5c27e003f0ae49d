"""The scoreboard of a session, a command or a test: packets and predictions in, scores out.

A packet stays open for answers for 2 s (`OpenPackets`). When it is closed, it is counted for
every decoder that was connected when it was sent, and joins the trial that is being played. When
that trial is over, each decoder's score gets it as a whole. So a score depends on what was sent
and what was said to it, never on when an answer arrived or a score was asked for.

The arithmetic of a trial takes half a millisecond a decoder. It waits, cut into steps of some
100 us, which a server does between its ticks (`work`); whoever asks for a score has it done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Hashable, Iterator
from enum import Enum
from itertools import combinations
from typing import Any

from phantomlink.scoring.decoder_score import DecoderScore
from phantomlink.scoring.packets import Prediction, SentPacket
from phantomlink.scoring.paired import PairedTrials
from phantomlink.scoring.playhead_packets import PlayheadPackets
from phantomlink.scoring.rules import MAX_DECODERS, ScoringRules
from phantomlink.scoring.run_score import EMPTY, VARIANTS
from phantomlink.scoring.traces import Traces
from phantomlink.scoring.trial_rows import Answers, PlayedTrial, TrialRows

_KEPT_FINISHED = 64


class Outcome(Enum):
    """What became of a prediction."""

    SCORED = "scored"
    DUPLICATE = "duplicate"
    UNKNOWN = "unknown"
    NON_FINITE = "non_finite"
    TAKEN = "taken"
    """The name is in use over another connection."""
    REFUSED = "refused"
    """All names are in use."""


class Scoreboard:
    """Scores of up to 16 decoders.

    Args:
        rules: of the recording and its pace.

    Attributes:
        refused: predictions under a 17th name.
        not_theirs: predictions under the name of another connection.
    """

    def __init__(self, rules: ScoringRules) -> None:
        self.rules = rules
        self.refused = 0
        self.not_theirs = 0
        self._decoders: dict[str, DecoderScore] = {}
        self._playheads: dict[Hashable, PlayheadPackets] = {}
        self._pairs: dict[tuple[str, str], PairedTrials] = {}
        self._jobs: deque[Iterator[None]] = deque()
        self._finished: deque[tuple[PlayedTrial, tuple[str, ...]]] = deque(maxlen=_KEPT_FINISHED)
        self.traces = Traces()

    @property
    def has_connections(self) -> bool:
        """Whether anybody is connected who could answer."""
        return any(decoder.connection is not None for decoder in self._decoders.values())

    def take_finished(self) -> list[tuple[PlayedTrial, tuple[str, ...]]]:
        """Trials that were finished since the last time, and the decoders that were connected."""
        finished = list(self._finished)
        self._finished.clear()
        return finished

    @property
    def names(self) -> tuple[str, ...]:
        """The decoders, in the order in which they came."""
        return tuple(self._decoders)

    def decoder(self, name: str) -> DecoderScore:
        """The decoder of this name.

        Raises:
            KeyError: there is none.
        """
        return self._decoders[name]

    def sent(self, playhead: Hashable, packet: SentPacket) -> None:
        """A packet of a playhead has left; in the order of sending."""
        self._packets(playhead).open.add(packet)

    def connect(
        self, name: str, connection: Hashable, playhead: Hashable, sequence_number: int | None
    ) -> Outcome:
        """Give a name to a connection.

        Args:
            name: of the decoder.
            connection: whose it is to be.
            playhead: whose packets the connection gets.
            sequence_number: packets count from this one on; None: from the first answered one.

        Returns:
            SCORED, TAKEN or REFUSED.
        """
        decoder = self._decoders.get(name)
        if decoder is None:
            if len(self._decoders) >= MAX_DECODERS and not self._free_one():
                self.refused += 1
                return Outcome.REFUSED
            decoder = self._decoders[name] = DecoderScore(name, self.rules)
        if decoder.connection is None:
            decoder.claim(connection, playhead)
            if sequence_number is not None:
                decoder.count_from(sequence_number)
        elif decoder.connection != connection:
            self.not_theirs += 1
            return Outcome.TAKEN
        return Outcome.SCORED

    def answer(
        self,
        name: str,
        connection: Hashable,
        playhead: Hashable,
        prediction: Prediction,
        received_ns: int,
    ) -> Outcome:
        """A prediction has come in.

        Args:
            name: of the decoder; a new one is made.
            connection: over which it came.
            playhead: whose packets that connection gets.
            prediction: what it says.
            received_ns: when, by the clock of `SentPacket.sent_ns`.
        """
        outcome = self.connect(name, connection, playhead, None)
        if outcome is not Outcome.SCORED:
            return outcome
        decoder = self._decoders[name]
        if not prediction.is_finite:
            decoder.counters.non_finite += 1
            return Outcome.NON_FINITE
        packet = self._packets(playhead).open.find(prediction)
        if packet is None:
            decoder.counters.unknown += 1
            return Outcome.UNKNOWN
        accepted = decoder.accept(packet, prediction.values, received_ns)
        decoder.counters.duplicate += accepted == "duplicate"
        decoder.counters.unknown += accepted == "unknown"
        return Outcome(accepted)

    def disconnect(self, connection: Hashable) -> None:
        """A connection is gone; its names are free for the next one, their scores go on."""
        for decoder in self._decoders.values():
            if decoder.connection == connection:
                packets = self._packets(decoder.playhead)
                decoder.release(packets.last_sequence_number)

    def remove(self, name: str) -> None:
        """Forget a decoder and its score."""
        self.settle()
        del self._decoders[name]
        self._pairs = {pair: trials for pair, trials in self._pairs.items() if name not in pair}
        for packets in self._playheads.values():
            packets.forget(name)
        self.traces.forget(name)

    def reset(self, name: str) -> None:
        """Begin a new run of a decoder."""
        self.settle()
        decoder = self._decoders[name]
        decoder.reset(self._packets(decoder.playhead).last_sequence_number + 1)
        self._pairs = {pair: trials for pair, trials in self._pairs.items() if name not in pair}
        for packets in self._playheads.values():
            packets.forget(name)

    def next_number(self, playhead: Hashable) -> int:
        """Sequence number of the packet of a playhead that comes after those that were sent."""
        return self._packets(playhead).last_sequence_number + 1

    def close(self, now_ns: int) -> int:
        """Close what can no longer be answered; answers how many packets that are."""
        return sum(
            self._close(playhead, packets, packets.open.close(now_ns))
            for playhead, packets in self._playheads.items()
        )

    def close_all(self, playhead: Hashable) -> None:
        """No more answers to a playhead are coming, nor packets: close it."""
        packets = self._packets(playhead)
        self._close(playhead, packets, packets.open.close_all())
        self._finish_trial(packets)
        # Its last 10 s stay for those who answered it.
        used = {decoder.playhead for decoder in self._decoders.values()}
        self._playheads = {key: kept for key, kept in self._playheads.items() if key in used}

    def close_everything(self) -> None:
        """Nobody is left who could answer: close every playhead."""
        for playhead in list(self._playheads):
            self.close_all(playhead)

    def work(self) -> bool:
        """Do one step of the arithmetic that waits; False when there is none."""
        while self._jobs:
            try:
                next(self._jobs[0])
            except StopIteration:
                self._jobs.popleft()
            else:
                return True
        return False

    def settle(self) -> None:
        """Do all the arithmetic that waits."""
        while self.work():
            pass

    def summary(self, name: str) -> dict[str, Any]:
        """A decoder in short, as JSON: counters, latency, the last 10 s."""
        decoder = self._decoders[name]
        return {
            "decoder": name,
            "connected": decoder.connection is not None,
            **decoder.counters.figures(),
            "latency_ms": decoder.latencies.figures(),
            "last_10_s": self._latest(decoder, "trials", "answered"),
        }

    def brief(self, name: str, window: str, variant: str) -> dict[str, Any]:
        """The whole run so far, without the trial that is being played, as JSON."""
        return self._decoders[name].whole(window, variant).figures(self.rules)

    def figures(self, name: str, window: str) -> dict[str, Any]:
        """All scores of a decoder in one window, as JSON."""
        self.settle()
        decoder = self._decoders[name]
        packets = self._playheads.get(decoder.playhead)
        run = decoder.run_with(*(packets.trial_of(name) if packets else (None, [], [])))
        return {
            "decoder": name,
            "window": window,
            **decoder.counters.figures(),
            **{
                variant: {
                    **run.figures(window, variant),
                    "last_10_s": self._latest(decoder, window, variant),
                }
                for variant in VARIANTS
            },
        }

    def paired(self, first: str, second: str) -> PairedTrials:
        """The trials that two decoders shared; in the order of `names`."""
        self.settle()
        return self._pairs.get((first, second), PairedTrials())

    def _packets(self, playhead: Hashable) -> PlayheadPackets:
        packets = self._playheads.get(playhead)
        if packets is None:
            packets = self._playheads[playhead] = PlayheadPackets(self.rules.last_packets)
        return packets

    def _free_one(self) -> bool:
        """Give up the oldest name that has no connection."""
        for name, decoder in self._decoders.items():
            if decoder.connection is None:
                self.remove(name)
                return True
        return False

    def _close(self, playhead: Hashable, packets: PlayheadPackets, closed: list[SentPacket]) -> int:
        for packet in closed:
            if packets.begins_trial(packet):
                self._finish_trial(packets)
            names = [
                name for name, decoder in self._decoders.items() if decoder.closed(playhead, packet)
            ]
            packets.add_closed(packet, tuple(names))
        return len(closed)

    def _finish_trial(self, packets: PlayheadPackets) -> None:
        taken = packets.take_trial()
        if taken is None:
            return
        rows, counted = taken.rows, taken.counted
        answers: dict[str, Answers] = {}

        def score(name: str) -> Generator[None, None, None]:
            decoder = self._decoders.get(name)
            if decoder is not None:
                said = yield from decoder.adding(rows, taken.packets, counted[name])
                if said is not None:
                    answers[name] = said

        self._jobs += (score(name) for name in counted)
        if rows.trial.trial_id >= 0:
            self._jobs.append(self._comparing(rows, answers))

    def _comparing(self, rows: TrialRows, answers: dict[str, Answers]) -> Iterator[None]:
        self.traces.add(rows, answers)
        order = [name for name in self._decoders if name in answers]
        self._finished.append((rows.trial, tuple(order)))
        for pair in combinations(order, 2):
            trials = self._pairs.setdefault(pair, PairedTrials())
            trials.add(rows, answers[pair[0]], answers[pair[1]])
            yield

    def _latest(self, decoder: DecoderScore, window: str, variant: str) -> dict[str, Any]:
        packets = self._playheads.get(decoder.playhead)
        if packets is None:
            return EMPTY.figures(self.rules)
        scores = decoder.latest(*packets.latest_of(decoder.name))
        return scores.get((window, variant), EMPTY).figures(self.rules)
