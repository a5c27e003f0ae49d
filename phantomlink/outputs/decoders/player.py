"""A built-in decoder that plays along: a model put on a session, scored as a client is."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding import Decoder, Model, ModelError
from phantomlink.decoding.kalman import KalmanParameters
from phantomlink.decoding.refit import RefitParameters
from phantomlink.evaluation.feed import DecoderFeed
from phantomlink.inputs.messages import PredictionMessage
from phantomlink.outputs.decoders.client_input import BUILT_IN, GivenAnswer
from phantomlink.outputs.decoders.playheads import PlayheadKey
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.scheduling.worker_thread import run_in_thread_patiently
from phantomlink.scoring import MAX_OPEN_PACKETS, Prediction, Scoreboard, SentPacket
from phantomlink.wire.packet import Velocity

_KEPT_VELOCITIES = 1024
"""A view of a fast session asks for some hundred packets at once."""


@dataclass(frozen=True, slots=True)
class Recalibration:
    """How a built-in decoder goes on learning.

    Attributes:
        every: trials between two fits; None for recursive least squares.
        last: trials that are fitted to.
    """

    every: int | None = None
    last: int | None = None


def playing_decoder(model: Model, recalibration: Recalibration | None) -> Decoder:
    """A decoder of a model that learns as it is told; None: as its kind does.

    Raises:
        ModelError: the kind cannot learn so.
    """
    if recalibration is None:
        return model.decoder()
    if recalibration.every is None or recalibration.last is None:
        if model.kind != "rls":
            raise ModelError(
                f"recalibrate: got 'rls' for a {model.kind}, takes a model of kind rls"
            )
        return model.decoder()
    if model.kind not in ("kalman", "kalman-pv", "refit"):
        raise ModelError(
            f"recalibrate: got trials for a {model.kind}, takes a model of kind kalman, kalman-pv "
            "or refit"
        )
    assert isinstance(model.parameters, KalmanParameters)
    parameters = RefitParameters.of(model.parameters, recalibration.every, recalibration.last)
    return parameters.decoder()


class Player:
    """A model that predicts along with a session, on its unfiltered playhead.

    It keeps nothing playing and takes no part in a tick: what has left waits here, and is decoded
    once a second, or as soon as somebody wants to see it, in steps between which ticks come first.
    How long a step took is its latency. It predicts a packet first and learns from it after.

    Args:
        name: on the scoreboard.
        model_id: of its model.
        model: what runs.
        recalibration: how it learns.

    Raises:
        ModelError: the model cannot learn so.
    """

    def __init__(
        self, name: str, model_id: str, model: Model, recalibration: Recalibration | None
    ) -> None:
        self.name = name
        self.model_id = model_id
        self.kind = model.kind
        self.recalibration = recalibration
        self.training_trials = frozenset(model.training_trials)
        self._feed = DecoderFeed(name, playing_decoder(model, recalibration))
        self._waiting: deque[tuple[PlayheadKey, SentPacket, NDArray[np.uint16], bool]] = deque(
            maxlen=MAX_OPEN_PACKETS
        )
        # By sequence number: which packet, vx, vy.
        self._said = [(-1, math.nan, math.nan)] * _KEPT_VELOCITIES

    def sent(
        self,
        key: PlayheadKey,
        packet: SentPacket,
        counts: NDArray[np.uint16],
        *,
        is_taught: bool = True,
    ) -> None:
        """A packet has left; it is decoded later.

        Args:
            key: of its playhead.
            packet: the packet.
            counts: (n_units,) of it.
            is_taught: whether the decoder may learn from it.
        """
        if not packet.is_lost:
            self._waiting.append((key, packet, counts, is_taught))

    def stop(self) -> None:
        """Decode nothing more."""
        self._waiting.clear()

    def velocity(self, sequence_number: int) -> Velocity:
        """What it has said of a packet lately; None where it has said nothing."""
        number, vx, vy = self._said[sequence_number % _KEPT_VELOCITIES]
        if number != sequence_number:
            return None, None
        return vx if math.isfinite(vx) else None, vy if math.isfinite(vy) else None

    async def decode(
        self,
        board: Scoreboard,
        budget: LoopBudget,
        tell: Callable[[GivenAnswer], None] | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> None:
        """Decode what has left.

        Args:
            board: that it answers on.
            budget: of the loop.
            tell: told of every answer.
            on_wait: called before it is fitted again, which takes a while.

        Raises:
            DecoderError: the decoder failed.
        """
        while self._waiting:
            key, packet, counts, is_taught = self._waiting.popleft()
            began_ns = time.perf_counter_ns()
            said = self._feed.packet(packet.sequence_number, packet.packet_id, counts)
            took_ns = time.perf_counter_ns() - began_ns
            if said is not None:
                number = packet.sequence_number
                self._said[number % _KEPT_VELOCITIES] = (number, said[0], said[1])
                prediction = Prediction(packet.packet_id, said, packet.loop, packet.sequence_number)
                said_ns = packet.sent_ns + took_ns
                outcome = board.answer(self.name, self, key, prediction, said_ns)
                if tell is not None:
                    message = PredictionMessage(prediction, self.name, None, None)
                    tell(
                        GivenAnswer(
                            BUILT_IN, key.filter, self.name, message, outcome.value, said_ns
                        )
                    )
                if is_taught:
                    self._feed.learn(np.array(packet.truth), packet.trial_id)
                if self._feed.needs_refit:
                    if on_wait is not None:
                        on_wait()
                    await run_in_thread_patiently(self._feed.refit)
            if budget.is_over:
                await budget.end()
