"""In place of a scoreboard, for a session that another node owns: that one scores.

Coverage and latency are of a connection, so who answers has to be connected where the scores are:
its first prediction ends its stream here, and the reason is where it belongs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, NoReturn

import trio

from phantomlink.engine.session import Session
from phantomlink.outputs.decoders import KIND
from phantomlink.outputs.decoders.client_input import ClientInput, GivenAnswer
from phantomlink.recordings.trials import Filter
from phantomlink.scoring import Outcome, Scoreboard


class ScoredElsewhere:
    """As `Output`, and as `ScoresOfSession` where nothing is taken.

    Args:
        moved: called with the address of a client that answers; gives the code and the reason with
            which its connection is closed.
    """

    kind = KIND
    is_wanted = True

    def __init__(self, moved: Callable[[str], tuple[int, str]]) -> None:
        self._moved = moved
        self.settled = trio.Event()
        self.settled.set()

    def as_json(self) -> Mapping[str, Any] | None:
        """As `Output.as_json`."""
        return None

    async def run(self, session: Session) -> None:
        """As `Output.run`."""

    def client(
        self, client_id: int, wanted: Filter, peer: str, end: Callable[[int, str], None]
    ) -> ClientInput:
        """What reads the messages of a client.

        Args:
            client_id: number of the connection.
            wanted: filter of its packets.
            peer: address of its connection.
            end: closes it, with a code and a reason.
        """

        def answers() -> None:
            end(*self._moved(peer))

        return ClientInput(_NoScores(answers), client_id, wanted, None)


class _NoScores:
    """As `ScoresOfSession`: what `ClientInput` asks before it refuses a prediction.

    The rest is asked only where predictions are taken, so never here.
    """

    takes_predictions = False
    are_answers_followed = False

    def __init__(self, answers: Callable[[], None]) -> None:
        self._answers = answers

    def count(self, what: str) -> None:
        if what == Outcome.REFUSED.value:
            self._answers()

    def tell_answer(self, answer: GivenAnswer) -> NoReturn:
        raise NotImplementedError("no prediction is taken")

    def activated(self) -> Scoreboard:
        raise NotImplementedError("no prediction is taken")

    def playhead(self, wanted: Filter) -> Hashable:
        raise NotImplementedError("no prediction is taken")


def elsewhere_of(session: Session) -> ScoredElsewhere | None:
    """What a session has whose predictions another node scores."""
    for output in session.outputs:
        if isinstance(output, ScoredElsewhere):
            return output
    return None
