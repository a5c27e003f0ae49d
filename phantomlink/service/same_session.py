"""Whether a session that exists is as it was asked for: what differs is refused, and said."""

from __future__ import annotations

from collections.abc import Sequence

from phantomlink.engine.pace import exact_speed, rate_of_bin_size
from phantomlink.engine.session import Session
from phantomlink.errors import SessionDiffersError
from phantomlink.perturbation import NO_PERTURBATION, Perturbation
from phantomlink.recordings.blind import hidden_trials


def check_same_bins(session: Session, bin_size_ms: float | None) -> None:
    """Refuse another width of bins than the session has."""
    grid = session.grid
    if bin_size_ms is not None and grid.rate_hz != rate_of_bin_size(bin_size_ms):
        raise SessionDiffersError(
            f"bin_size_ms: got {bin_size_ms:g}, but session {session.code!r} has bins of "
            f"{grid.bin_size_ms:g} ms; delete it first, or take another code"
        )


def check_same_hidden(session: Session, test_trials: Sequence[int] | None) -> None:
    """Refuse other hidden trials than the session has."""
    hidden = hidden_trials(session.bins)
    if test_trials is not None and hidden != set(test_trials):
        raise SessionDiffersError(
            f"blind: got {len(set(test_trials))} test trials, but session {session.code!r} has "
            f"{len(hidden)}, or others; delete it first, or take another code"
        )


def check_same_speed(session: Session, speed: float | None) -> None:
    """Refuse another speed than the session has."""
    if speed is not None and session.speed != exact_speed(speed):
        raise SessionDiffersError(
            f"speed: got {speed:g}, but session {session.code!r} plays at "
            f"{float(session.speed):g}; change it at /api/control/{session.code}/speed"
        )


def check_same_perturbation(
    session: Session, wanted: Perturbation | None, seed: int | None
) -> None:
    """Refuse another perturbation or seed than the session has."""
    change = f"change it at /api/sessions/{session.code}/perturbation"
    if wanted is not None:
        has = NO_PERTURBATION if session.applied is None else session.applied.perturbation
        same = has.steps == wanted.steps or (has.is_identity and wanted.is_identity)
        if not same:
            raise SessionDiffersError(
                f"perturbation: got {_named(wanted)}, but session {session.code!r} has "
                f"{_named(has)}; {change}"
            )
    if seed is not None and seed != session.seed:
        raise SessionDiffersError(
            f"seed: got {seed}, but session {session.code!r} has {session.seed}; {change}"
        )


def _named(perturbation: Perturbation) -> str:
    if perturbation.is_identity:
        return "none"
    return "one without a name" if perturbation.name is None else repr(perturbation.name)
