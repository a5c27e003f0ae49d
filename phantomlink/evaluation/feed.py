"""How a decoder gets packets: as they arrive, each once, told when there is a gap."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from phantomlink.decoding import Decoder, LearningDecoder, RefittingDecoder
from phantomlink.errors import PhantomLinkError
from phantomlink.scoring.packets import Kinematics


class DecoderError(PhantomLinkError):
    """A decoder does not keep to its interface, or failed; the message says how."""

    title = "Decoder failed"


class DecoderFeed:
    """Runs a decoder over packets in the order in which they arrive.

    A packet that comes twice is decoded once; one that was overtaken is not decoded, since a
    decoder cannot go back; where packets are missing, or the recording was sought in or has
    wrapped, the decoder is reset.

    Args:
        name: of the decoder, for messages.
        decoder: to run; nobody else may call it.
    """

    def __init__(self, name: str, decoder: Decoder) -> None:
        self._name = name
        self._decoder = decoder
        self._learner = decoder if isinstance(decoder, LearningDecoder) else None
        self._refitting = decoder if isinstance(decoder, RefittingDecoder) else None
        self._latest: tuple[int, int] | None = None

    def packet(
        self, sequence_number: int, packet_id: int, counts: NDArray[np.integer]
    ) -> Kinematics | None:
        """Decode a packet that has arrived.

        Returns:
            vx, vy, x, y, NaN in a pair that is not predicted; None where there is no answer.

        Raises:
            DecoderError: it failed, or what it says is not a prediction.
        """
        latest, self._latest = self._latest, (sequence_number, packet_id)
        if latest is not None and sequence_number <= latest[0]:
            self._latest = latest
            return None
        with calling(self._name, "reset or step"):
            if latest is None or (sequence_number - 1, packet_id - 1) != latest:
                self._decoder.reset()
            said = self._decoder.step(counts)
        return None if said is None else kinematics_of(said, self._name)

    def learn(self, kinematics: NDArray[np.float64], trial_id: int) -> None:
        """The truth of the packet that was decoded last, where the decoder learns from it.

        Where `needs_refit` says so then, call `refit` before the next packet.
        """
        if self._learner is not None:
            with calling(self._name, "learn"):
                self._learner.learn(kinematics, trial_id)

    @property
    def needs_refit(self) -> bool:
        """Whether the decoder is to be fitted again, which takes a while."""
        return self._refitting is not None and self._refitting.is_due

    def refit(self) -> None:
        """Fit the decoder again; may be called in another thread."""
        assert self._refitting is not None
        with calling(self._name, "refit"):
            self._refitting.refit()


@contextmanager
def calling(name: str, method: str) -> Iterator[None]:
    """Around a call of a decoder, which may be a user's: whatever it raises is told as its error.

    The traceback is a note of the error: it is for the person who wrote the decoder.
    """
    try:
        yield
    except PhantomLinkError:
        raise
    except Exception as error:
        told = DecoderError(f"{name}: {method} raised {type(error).__name__}: {error}")
        told.add_note("".join(traceback.format_exception(error)))
        raise told from error


def kinematics_of(said: Iterable[float], name: str) -> Kinematics:
    """What a decoder said, in full.

    A number that is not finite is made infinite: NaN means that nothing is said of a pair.

    Raises:
        DecoderError: it is not two or four numbers.
    """
    try:
        values = [value if math.isfinite(value) else math.inf for value in map(float, said)]
    except (TypeError, ValueError) as error:
        raise DecoderError(
            f"{name}: step answered {said!r}, takes (vx, vy), (vx, vy, x, y) or None"
        ) from error
    if len(values) == 2:
        return values[0], values[1], math.nan, math.nan
    if len(values) == 4:
        return values[0], values[1], values[2], values[3]
    raise DecoderError(
        f"{name}: step answered {len(values)} numbers, takes (vx, vy), (vx, vy, x, y) or None"
    )
