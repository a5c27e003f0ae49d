"""Changes bytes of recordings and cuts them, and looks at what becomes of each in a child process.

    python tools/mutate_recordings.py --mutants 1200 RECORDING ...

Each mutant must be refused in one line or play: in at most --seconds, with counts equal to those of
the whole recording in every unit that the change has not touched. A change inside the spike times
touches the unit that they are of; one inside the index touches the units on either side; one
anywhere else touches none. A child that HDF5 takes down is counted as crashed: the server opens
recordings that others can name in such a child first.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import subprocess
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np

from phantomlink.errors import PhantomLinkError
from phantomlink.recordings.recording import open_recording

RATE = Fraction(40)
BATCH = 50


def counts_of(path: Path) -> np.ndarray:
    """(bins, units) at 40 Hz, from time 0; raises PhantomLinkError."""
    with open_recording(path) as recording:
        bins = recording.at_rate(RATE)
        zero = bins.grid.index_of(0.0)
        return bins.read(max(zero, 0), min(bins.grid.n_bins, zero + 1_000_000)).counts


def child() -> int:
    """Read paths from stdin, write one line of JSON for each."""
    for line in sys.stdin:
        path, reference = map(Path, line.rstrip("\n").split("\t"))
        try:
            counts = counts_of(path)
        except PhantomLinkError as error:
            said = {"verdict": "refused", "line": str(error)}
        except Exception as error:  # noqa: BLE001 - what is not ours is what is looked for
            said = {"verdict": "error", "line": f"{type(error).__name__}: {error}"}
        else:
            whole = np.load(reference)
            said = {"verdict": "played", "differ": differing(whole, counts)}
        print(json.dumps(said), flush=True)
    return 0


def differing(whole: np.ndarray, counts: np.ndarray) -> list[int]:
    """Columns that differ; bins beyond the shorter of the two must be empty."""
    if counts.shape[1] != whole.shape[1]:
        return list(range(whole.shape[1]))
    n = min(len(whole), len(counts))
    differ = (whole[:n] != counts[:n]).any(axis=0)
    for rest in (whole[n:], counts[n:]):
        differ |= rest.any(axis=0)
    return np.flatnonzero(differ).tolist()


def touched_by(path: Path, offset: int) -> set[int]:
    """Units whose spikes a change at this byte is in."""
    with h5py.File(path) as file:
        times, index = file["units/spike_times"], file["units/spike_times_index"]
        ends = index[...].astype(int)
        for dataset in (times, index):
            row = row_at(dataset, offset)
            if row is not None and dataset is index:
                return {row, row + 1}
            if row is not None:
                return {int(np.searchsorted(ends, row, side="right"))}
    return set()


def row_at(dataset: h5py.Dataset, offset: int) -> int | None:
    """Which row of an uncompressed column lies at this byte of the file."""
    size = dataset.dtype.itemsize
    if dataset.chunks is None:
        stretches = [(dataset.id.get_offset() or 0, dataset.id.get_storage_size(), 0)]
    else:
        infos = [dataset.id.get_chunk_info(i) for i in range(dataset.id.get_num_chunks())]
        stretches = [(info.byte_offset, info.size, info.chunk_offset[0]) for info in infos]
    for start, n_bytes, first in stretches:
        if start <= offset < start + n_bytes:
            return first + (offset - start) // size
    return None


def mutant(data: bytes, draw: random.Random) -> tuple[bytes, int | None]:
    """The bytes of a mutant, and where it differs; None for one that was cut."""
    if draw.random() < 0.2:
        return data[: draw.randrange(len(data))], None
    # Most of a file are numbers; its structure is where it matters.
    at = draw.randrange(min(len(data), 200_000) if draw.random() < 0.5 else len(data))
    changed = bytearray(data)
    changed[at] ^= draw.randrange(1, 256)
    return bytes(changed), at


def run(path: Path, mutants: int, seconds: float, seed: int) -> Counter[str]:
    """Try so many mutants of one recording, and say what became of them."""
    data, draw, seen = path.read_bytes(), random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference.npy"
        np.save(reference, counts_of(path))
        process = None
        for number in range(mutants):
            content, at = mutant(data, draw)
            place = Path(folder) / f"m{number}.nwb"
            place.write_bytes(content)
            if process is None:
                process = subprocess.Popen(
                    [sys.executable, "-X", "faulthandler", __file__, "--child"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            answer = ask(process, f"{place}\t{reference}\n", seconds)
            place.unlink()
            verdict = judged(path, answer, at)
            seen[verdict] += 1
            if verdict.startswith(("hung", "crashed", "error", "other")):
                print(f"{path.name} mutant {number} at {at}: {verdict}: {answer}", flush=True)
            if "verdict" not in answer:
                process.kill()
                process.wait()
                process = None
        if process is not None:
            process.kill()
            process.wait()
    return seen


def ask(process: subprocess.Popen[str], line: str, seconds: float) -> dict[str, object]:
    """What the child says of a file; a dict without a verdict when it says nothing."""
    process.stdin.write(line)
    process.stdin.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(seconds):
            return {"hung": seconds}
    said = process.stdout.readline()
    return json.loads(said) if said else {"crashed": process.wait()}


def judged(path: Path, answer: dict[str, object], at: int | None) -> str:
    """The verdict in a word or two."""
    if "verdict" not in answer:
        return "crashed" if "crashed" in answer else "hung"
    if answer["verdict"] == "refused":
        return "refused" if "\n" not in str(answer["line"]) else "error: several lines"
    if answer["verdict"] == "error":
        return "error"
    differ = set(answer["differ"])
    touched = set() if at is None else touched_by(path, at)
    if not differ:
        return "played equal"
    return "played, touched units differ" if differ <= touched else "other counts"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--mutants", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", action="store_true")
    arguments = parser.parse_args()
    if arguments.child:
        return child()
    for path in arguments.recordings:
        print(path.name, dict(run(path, arguments.mutants, arguments.seconds, arguments.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
