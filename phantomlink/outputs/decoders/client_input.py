"""What one connection sends: predictions, under one name or several."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from phantomlink.inputs.messages import MalformedMessageError, PredictionMessage, parse_message
from phantomlink.recordings.trials import Filter
from phantomlink.scoring import VARIANTS, WINDOWS, Outcome, Scoreboard
from phantomlink.scoring.trial_rows import PlayedTrial

_WINDOW_NS = 25_000_000
_PER_PACKET = 4
"""Predictions a packet and name that are read as they come."""

MESSAGE_OUTCOMES = (*(outcome.value for outcome in Outcome), "malformed", "ignored")
BUILT_IN = 0
"""In place of the number of a connection, which is 1 or more."""

InputCounters = Counter[str]
"""By outcome of a prediction, `malformed` and `ignored` (messages of another type) too."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """A prediction that a decoder has made, and what became of it.

    Attributes:
        client_id: number of the connection; `BUILT_IN` of a decoder of the server.
        filter: of its packets.
        decoder: whose it is.
        message: what it says.
        outcome: value of an `Outcome`.
        received_ns: when its last byte was read, or a built-in decoder had made it, monotonic ns.
    """

    client_id: int
    filter: Filter
    decoder: str
    message: PredictionMessage
    outcome: str
    received_ns: int


class ScoresOfSession(Protocol):
    """The scores of a session, as a connection sees them."""

    @property
    def takes_predictions(self) -> bool:
        """Whether predictions are scored."""
        ...

    def count(self, what: str) -> None:
        """Count a message by its outcome."""
        ...

    @property
    def are_answers_followed(self) -> bool:
        """Whether anybody follows the answers."""
        ...

    def tell_answer(self, answer: GivenAnswer) -> None:
        """Tell whoever follows the answers that the session's decoders give."""
        ...

    def activated(self) -> Scoreboard:
        """The scoreboard, with all on it that has left; somebody is about to answer."""
        ...

    def playhead(self, wanted: Filter) -> Hashable:
        """What the scoreboard calls the playhead of a filter."""
        ...


class ClientInput:
    """The messages of one connection.

    Args:
        scores: of the session.
        client_id: number of the connection.
        wanted: the filter of its packets.
        tell: sends it a message with its scores; None where it does not want them.

    Attributes:
        counters: of what it sent.
    """

    def __init__(
        self,
        scores: ScoresOfSession,
        client_id: int,
        wanted: Filter,
        tell: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.counters = InputCounters()
        self._scores = scores
        self._client_id = client_id
        self._own_name = f"client-{client_id}"
        self._filter = wanted
        self._tell = tell
        self._names: set[str] = set()
        self._window_ns = 0
        self._in_window = 0

    def receive(self, payload: bytes, is_text: bool, received_ns: int) -> None:
        """A message has come, whatever it is: nothing in it is a reason to close.

        Args:
            payload: of the message.
            is_text: JSON, else MessagePack.
            received_ns: when its last byte was read, monotonic ns.
        """
        self._count_in_window(received_ns)
        try:
            message = parse_message(payload, is_text=is_text)
        except MalformedMessageError:
            self._count("malformed")
            return
        if message is None:
            self._count("ignored")
            return
        if not self._scores.takes_predictions:
            self._count(Outcome.REFUSED.value)
            return
        name = message.decoder or self._own_name
        board = self._scores.activated()
        playhead = self._scores.playhead(self._filter)
        outcome = board.answer(name, self, playhead, message.prediction, received_ns)
        if outcome not in (Outcome.TAKEN, Outcome.REFUSED):
            self._names.add(name)
        self._count(outcome.value)
        if self._scores.are_answers_followed:
            self._scores.tell_answer(
                GivenAnswer(
                    self._client_id, self._filter, name, message, outcome.value, received_ns
                )
            )

    def pause_seconds(self, now_ns: int) -> float:
        """How long not to read from this connection, which sends more than anybody needs.

        What it sends meanwhile waits in the kernel and is read at once, which costs the others
        one wake-up and not one each.
        """
        if self._in_window <= _PER_PACKET * max(1, len(self._names)):
            return 0.0
        return max(0.0, (self._window_ns + _WINDOW_NS - now_ns) / 1e9)

    def tell_scores(self, board: Scoreboard, trial: PlayedTrial, names: Sequence[str]) -> None:
        """A trial is over in which these decoders were connected: tell it of its own."""
        own = [name for name in names if name in self._names]
        if self._tell is None or not own:
            return
        self._tell(
            {
                "type": "scored",
                "data": {
                    "trial_id": trial.trial_id,
                    "loop": trial.loop,
                    "reach_id": trial.reach_id,
                    "first_sequence_number": trial.first_sequence_number,
                    "decoders": [_told(board, name) for name in own],
                },
            }
        )

    def _count(self, what: str) -> None:
        self.counters[what] += 1
        self._scores.count(what)

    def _count_in_window(self, now_ns: int) -> None:
        if now_ns - self._window_ns >= _WINDOW_NS:
            self._window_ns, self._in_window = now_ns, 0
        self._in_window += 1


def _told(board: Scoreboard, name: str) -> dict[str, Any]:
    return board.summary(name) | {
        window: {variant: board.brief(name, window, variant) for variant in VARIANTS}
        for window in WINDOWS
    }
