"""What decoders are fitted to: bins of a recording, as a session would send them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from phantomlink.decoding import TrainingData, split_trials
from phantomlink.errors import InvalidParameterError
from phantomlink.evaluation.stream import observed_of, perturbed_blocks
from phantomlink.evaluation.truth import Truth
from phantomlink.perturbation import Perturbation
from phantomlink.recordings.bins import Bins

_RANGE = re.compile(r"(\d+)(?:-(\d+))?\Z")


def training_data(
    bins: Bins,
    perturbation: Perturbation,
    seed: int,
    trials: Iterable[int],
    window: str = "trials",
) -> TrainingData:
    """The bins of a recording, of which those of some trials may be fitted to.

    Args:
        bins: of the recording.
        perturbation: what is done to the counts; what happens on the way is left out.
        seed: of it.
        trials: to fit to.
        window: `trials`, or `movement`: only the bins around the onset of movement.

    Raises:
        InvalidParameterError: the perturbation does not fit the recording.
        RecordingError: it cannot be read.
    """
    truth = Truth(bins)
    counts, kinematics, trial_ids, used = [], [], [], []
    for part in perturbed_blocks(bins, perturbation, seed):
        block = part.block
        counts.append(part.counts)
        kinematics.append(block.kinematics)
        trial_ids.append(block.trial_rows)
        packets = (
            truth.packet(
                block.start + row, 0, 0, 0, (0.0, 0.0, 0.0, 0.0), trial_row, is_observed=observed
            )
            for row, (trial_row, observed) in enumerate(
                zip(block.trial_rows.tolist(), observed_of(block), strict=True)
            )
        )
        used.append([p.is_scored and (window == "trials" or p.in_movement) for p in packets])
    data = TrainingData(
        np.concatenate(counts),
        np.concatenate(kinematics),
        np.concatenate(trial_ids),
        np.concatenate(used).astype(bool),
    )
    return data.within(list(trials))


def chosen_trials(text: str, n_trials: int, seed: int) -> tuple[int, ...]:
    """The trials that `--train` means.

    Args:
        text: a share such as `0.75`, or trials such as `0-49,60`.
        n_trials: of the recording.
        seed: of the split by share.

    Raises:
        InvalidParameterError: it is neither, or the recording has no such trials.
    """
    form = f"train: got {text!r}, takes a share such as 0.75 or trials such as 0-49,60"
    if "." in text:
        try:
            share = float(text)
        except ValueError:
            raise InvalidParameterError(form) from None
        if not 0 < share < 1:
            raise InvalidParameterError(form)
        return split_trials(range(n_trials), share, seed)[0]
    chosen: set[int] = set()
    for part in text.split(","):
        found = _RANGE.match(part.strip())
        if found is None:
            raise InvalidParameterError(form)
        first, last = int(found[1]), int(found[2] or found[1])
        if not first <= last < n_trials:
            raise InvalidParameterError(
                f"train: got {part.strip()}, the recording has trials 0 to {n_trials - 1}"
            )
        chosen.update(range(first, last + 1))
    return tuple(sorted(chosen))


def trials_in_short(trials: Sequence[int]) -> str:
    """Trials as `--train` takes them: `0-49,60`."""
    runs: list[list[int]] = []
    for trial in sorted(trials):
        if runs and trial == runs[-1][1] + 1:
            runs[-1][1] = trial
        else:
            runs.append([trial, trial])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
