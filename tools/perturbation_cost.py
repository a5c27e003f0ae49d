"""Measure what perturbations cost: CPU time for each packet, more than the recording's own.

    python tools/perturbation_cost.py                     # on a synthetic recording, made for it
    python tools/perturbation_cost.py data/mc_maze.nwb --json

Packets are made of blocks of a second as the engine makes them, in the slack before their tick,
with a perturbation and without; the chunks in which rows are perturbed are the engine's too.
Both take turns, so that a busy machine slows both, and what counts is the median over the rounds
of the difference. Of a script of timed steps it is the step with the most transforms. A chunk is
perturbed in one go, which holds the event loop: the longest that making one packet of a block
takes, in the median over all blocks, is beside it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.engine.perturbed import AppliedPerturbation, SentRows, apply_perturbation
from phantomlink.perturbation import Perturbation
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.recordings.bins import Bins, Block
from tools.bench.harness.offline import opened_bins, read_arguments
from tools.bench.harness.text import figures_table

FOUR = ("light", "moderate", "intense", "extreme")
# One of each kind, with what the scripts give it where one does.
TRANSFORMS: tuple[dict[str, Any], ...] = (
    {"kind": "gaussian_noise", "noise_std": 0.5},
    {"kind": "drift", "drift_amplitude": 0.3, "drift_period_seconds": 60},
    {"kind": "nonstationary_rates", "rate_std": 0.2},
    {"kind": "gain_shift", "gain": 0.6, "fraction": 0.4},
    {"kind": "dropout", "fraction": 0.1, "mean_seconds": 3},
    {"kind": "dead_units", "fraction": 0.15},
    {"kind": "unit_swap", "fraction": 0.3},
    {"kind": "saturation", "max_count": 3},
    {"kind": "common_artifact", "rate_hz": 0.2, "amplitude": 3, "duration_seconds": 0.3},
    {"kind": "packet_loss", "probability": 0.02},
    {"kind": "packet_duplicate", "probability": 0.01},
    {"kind": "packet_reorder", "probability": 0.01},
    {"kind": "jitter", "std_ms": 2},
    {"kind": "stall", "rate_hz": 0.02, "seconds": 0.5},
)
_SEED = 1
_BLOCK_BINS = 40


def main() -> None:
    arguments = read_arguments(__doc__, "--blocks", 10, f"of {_BLOCK_BINS}, in a round")
    with opened_bins(arguments.recording) as bins:
        result = measure(bins, arguments.blocks, arguments.rounds)
    print(json.dumps(result) if arguments.json else figures_table(result))


def measure(bins: Bins, n_blocks: int, rounds: int) -> dict[str, Any]:
    """us a packet of each preset and transform, beside packets that are left as they are."""
    blocks = read_blocks(bins, n_blocks)
    presets = {name: compiled(fullest_step(PRESETS[name]), bins) for name in PRESETS}
    transforms = {
        asked["kind"]: compiled(parse_perturbation({"transforms": [asked]}), bins)
        for asked in TRANSFORMS
    }
    assembler = PacketAssembler(bins)
    rows: list[dict[str, Any]] = []
    gc.disable()
    for applied in (presets | transforms).values():
        us_of_packets(assembler, blocks, applied)  # what is made when first needed
    for round_number in range(rounds):
        for name, applied in (presets | transforms).items():
            turns = (None, applied) if round_number % 2 else (applied, None)
            us = {each: us_of_packets(assembler, blocks, each) for each in turns}
            clean, more = us[None].mean(), us[applied].mean() - us[None].mean()
            rows += [
                {"name": name, "clean": clean, "more": more, "longest": longest}
                for longest in us[applied].max(axis=1)
            ]
    gc.enable()
    found = pd.DataFrame(rows)
    medians = found.groupby("name").median().round(2)
    more_us = medians["more"]
    return {
        "units": len(bins.unit_ids),
        "packets": n_blocks * _BLOCK_BINS,
        "rounds": rounds,
        "clean_us": round(found["clean"].median(), 2),
        "presets_us": more_us[list(presets)].to_dict(),
        "transforms_us": more_us[list(transforms)].to_dict(),
        "longest_us": medians["longest"][[*presets, *transforms]].to_dict(),
        "four_presets_us": round(more_us[list(FOUR)].sum(), 2),
        "all_presets_us": round(more_us[list(presets)].sum(), 2),
    }


def read_blocks(bins: Bins, n_blocks: int) -> list[Block]:
    """Blocks as prefetch reads them; a short recording from its beginning again."""
    whole = range(0, bins.grid.n_bins - _BLOCK_BINS + 1, _BLOCK_BINS)
    if not whole:
        raise SystemExit(f"takes a recording of {_BLOCK_BINS} bins, got {bins.grid.n_bins}")
    starts = [whole[index % len(whole)] for index in range(n_blocks)]
    return [bins.read(start, start + _BLOCK_BINS) for start in starts]


def fullest_step(perturbation: Perturbation) -> Perturbation:
    """The step with the most transforms, from the beginning on."""
    step = max(perturbation.steps, key=lambda step: len(step.transforms))
    return Perturbation((replace(step, at_seconds=0.0),))


def compiled(perturbation: Perturbation, bins: Bins) -> AppliedPerturbation:
    applied = apply_perturbation(perturbation, _SEED, bins)
    assert applied is not None, "what is measured does something"
    return applied


def us_of_packets(
    assembler: PacketAssembler, blocks: list[Block], applied: AppliedPerturbation | None
) -> NDArray[np.float64]:
    """(blocks, bins of each) CPU time of this thread for each packet."""
    now, found = time.thread_time_ns, []
    for block in blocks:
        rows = SentRows(assembler, block, 0, applied)
        at_ns = [now()]
        for row in range(_BLOCK_BINS):
            rows.packet(row, row)
            rows.fault(row)
            at_ns.append(now())
        found.append(np.diff(at_ns) / 1e3)
    return np.array(found)


if __name__ == "__main__":
    main()
