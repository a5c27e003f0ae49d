"""What can be asked of a session and of a stream, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

Perturbation = str | Mapping[str, Any]
"""A preset's name, or what is to be done to packets in full."""

Hidden = Literal["kinematics", "intention", "trial"]
"""What the server can be asked to send null for, for a decoder that must not see the truth."""


class SessionOptions(TypedDict, total=False):
    """How a session is made that does not exist yet; 409 where it exists with others.

    Attributes:
        dataset: of the server's catalogue.
        perturbation: a preset's name, or what to do to packets in full.
        seed: of the perturbation.
        speed: how many times faster than recorded.
        bin_size_ms: width of its bins.
        lsl: whether it is LSL outlets too.
        blind: `{"test_trials": [...]}`: trials whose truth nobody in the session is told.
        private: make up a code that cannot be guessed and is not listed.
    """

    dataset: str
    perturbation: Perturbation
    seed: int
    speed: float
    bin_size_ms: float
    lsl: bool
    blind: Mapping[str, Any]
    private: bool


class StreamOptions(SessionOptions, total=False):
    """What may be asked of a stream, beside what its session is to be.

    Attributes:
        trial_id: only this trial, over and over.
        target_id: only trials with this active target.
        reach_id: only trials that reach for this place.
        hide: what the server sends null for.
        decoded: whether packets say what the server's own decoders predict.
        scores: whether the server says after each trial how good the predictions were.
    """

    trial_id: int
    target_id: int
    reach_id: int
    hide: Iterable[Hidden]
    decoded: bool
    scores: bool
