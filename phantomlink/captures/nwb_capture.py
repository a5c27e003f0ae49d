"""A capture's NWB file as records again, for verification.

It holds counts, kinematics, trials and targets, and in `acquisition/sent` which packet each bin
was. What a packet says beyond that (the time in its trial, the distance to its target) is not in
it: `FIELDS` are those that can be compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from phantomlink.captures.records import Control, Gap, Header, Record, Sent
from phantomlink.errors import CaptureError
from phantomlink.recordings.bins import Block
from phantomlink.recordings.recording import Recording, open_recording
from phantomlink.wire.packet import Intention, Packet

FIELDS = frozenset({"spikes.spike_counts", "kinematics", "trial_id", "target_x", "target_y"})
"""What an NWB file says of a packet, as `Verifier` names it."""

_SAID = "scratch/phantomlink"
_SENT, _CONTROL = "acquisition/sent", "processing/phantomlink/control"
_BLOCK_BINS = 256


class NwbCapture:
    """One file.

    Args:
        path: of it.

    Attributes:
        header: of the capture, without trials and streams.
        state: of the capture.
        digest: that its payloads are said to have.

    Raises:
        CaptureError: it is no capture's NWB file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with h5py.File(path, "r") as file:
                if _SAID not in file:
                    raise CaptureError(f"{path}: not a capture: it has no {_SAID}")
                said = json.loads(file[_SAID].asstr()[()])
                self._sent = _table(file[_SENT])
                self._controls = _table(file[_CONTROL]) if _CONTROL in file else {}
            self.header = Header.of(["H", 1, {**said, "trials": [], "streams": []}])
            self.state, self.digest = str(said["state"]), str(said["digest"])
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise CaptureError(f"{path}: not a capture's NWB file: {error}") from error

    def records(self) -> Iterator[Record]:
        """Its packets and gaps in order, each control before the packets that it affects.

        Raises:
            CaptureError: it has not as many bins as packets.
            RecordingError: it cannot be read.
        """
        controls = list(self._control_records())
        with open_recording(self.path) as recording:
            n_sent = len(self._sent["packet_id"])
            bins = recording.at_rate(self.header.rate_hz)
            if bins.unit_ids != self.header.unit_ids:
                raise CaptureError(f"{self.path}: its units are not those that it says it has")
            present = np.flatnonzero(self._sent["packet_id"] >= 0)
            # The last bins may hold no event, so that the recording ends before them.
            n_bins = min(n_sent, bins.grid.n_bins)
            number = int(self._sent["sequence_number"][present[0]]) - int(present[0])
            gap = 0
            for start in range(0, n_sent, _BLOCK_BINS):
                stop = min(start + _BLOCK_BINS, n_sent)
                block = bins.read(start, min(stop, n_bins)) if start < n_bins else None
                for k in range(start, stop):
                    while controls and controls[0].sequence_number <= number + k:
                        yield controls.pop(0)
                    if self._sent["packet_id"][k] < 0:
                        gap += 1
                        continue
                    if gap:
                        yield Gap(number + k - gap, number + k - 1, gap)
                        gap = 0
                    in_block = block if k < n_bins else None
                    yield self._record(k, recording, in_block, k - start)

    def _record(self, k: int, recording: Recording, block: Block | None, row: int) -> Sent:
        said = self._sent
        n_units = len(self.header.unit_ids)
        counts, values, trial_row = np.zeros(n_units, np.uint16), [math.nan] * 4, -1
        if block is not None:
            counts = block.counts[row].astype(np.uint16)
            values = block.kinematics[row].tolist()
            trial_row = int(block.trial_rows[row])
        trial = recording.trials[trial_row] if trial_row >= 0 else None
        vx, vy, x, y = (None if math.isnan(value) else value for value in values)
        packet = Packet(
            int(said["packet_id"][k]),
            int(said["sequence_number"][k]),
            int(said["loop"][k]),
            counts,
            vx,
            vy,
            x,
            y,
            Intention(target_x=trial.target_x, target_y=trial.target_y) if trial else Intention(),
            _whole(trial.columns.get("source_trial_id")) if trial else None,
            None,
            said["perturbation_id"][k] or None,
        )
        left_at = float(said["left_at"][k])
        return Sent(
            packet,
            int(said["deadline_ns"][k]),
            None if math.isnan(left_at) else round(left_at * 1e9),
            int(said["delivered"][k]),
            int(said["delay_ns"][k]),
            int(said["faults"][k]),
        )

    def _control_records(self) -> Iterator[Control]:
        said = self._controls
        for n, what in enumerate(said.get("what", ())):
            packet_id, number, loop = (
                int(said[name][n]) for name in ("packet_id", "sequence_number", "loop")
            )
            yield Control(what, packet_id, number, loop, 0, json.loads(said["detail"][n]))


def _table(group: h5py.Group) -> Mapping[str, Any]:
    return {
        name: column.asstr()[:] if h5py.check_string_dtype(column.dtype) else column[:]
        for name, column in group.items()
    }


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
