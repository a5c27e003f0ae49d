"""Training data: the packets of trials, each bin once, as arrays."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from phantomlink.client.options import SessionOptions, StreamOptions
from phantomlink.client.packet import Packet, StreamInfo
from phantomlink.client.session import Session
from phantomlink.client.stream import connect

DEFAULT_SPEED = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """Bins of a recording, in its order: one row each.

    Attributes:
        X: (n_bins, n_units) int32, spikes of each unit.
        Y: (n_bins, 4) float64: vx, vy, x, y in the recording's own units; NaN where it has none.
        trial_id: (n_bins,) int64, row of the trial in the trial table; -1 between trials.
        trial_time_ms: (n_bins,) float64, since the trial's start; NaN between trials.
        packet_id: (n_bins,) int64, index of the bin in the recording. Bins whose indexes do not
            follow each other do not follow each other in time.
        info: what the stream is: units, bin width, dataset.
    """

    X: NDArray[np.int32]
    Y: NDArray[np.float64]
    trial_id: NDArray[np.int64]
    trial_time_ms: NDArray[np.float64]
    packet_id: NDArray[np.int64]
    info: StreamInfo

    @property
    def time_seconds(self) -> NDArray[np.float64]:
        """(n_bins,) when each bin begins, since the beginning of the recording's first bin."""
        return self.packet_id.astype(np.float64) * (self.info.bin_size_ms / 1000)

    def __len__(self) -> int:
        return len(self.packet_id)


def collect(
    url: str | None = None,
    *,
    trials: int | Iterable[int] | None = None,
    target: int | None = None,
    reach: int | None = None,
    session: str | None = None,
    token: str | None = None,
    **options: Unpack[SessionOptions],
) -> Collected:
    """Play trials once and keep what a decoder is trained on::

        data = collect(trials=20)
        weights, *_ = numpy.linalg.lstsq(data.X, data.Y[:, :2])

    A bin that was lost is waited for: the server plays the trial again. Without `session` it is
    a session of its own, ten times faster than recorded unless `speed` says otherwise, that is
    deleted at the end.

    Args:
        url: of the server; None for the environment's PHANTOM_URL, or else
            http://127.0.0.1:8000.
        trials: how many, or the ids of those to play; None for all that match `target` and
            `reach`, and where these are None too for the whole recording, with the time between
            trials.
        target: only trials with this active target, an index into each trial's own list.
        reach: only trials that reach for this place (`reach_id`).
        session: code of a session to use, at its own speed; it is not deleted.
        token: of the server; None for the environment's PHANTOM_API_TOKEN, if set.
        **options: what the session is to be: `perturbation`, `seed`, `speed`, `bin_size_ms`, ...

    Raises:
        ValueError: no trial matches, or there are fewer than asked for.
        ClientError: the server cannot be reached, or says no.
    """
    return collect_until(
        threading.Event(),
        url,
        trials=trials,
        target=target,
        reach=reach,
        session=session,
        token=token,
        options=options,
    )


def collect_until(
    ended: threading.Event,
    url: str | None,
    *,
    trials: int | Iterable[int] | None,
    target: int | None,
    reach: int | None,
    session: str | None,
    token: str | None,
    options: SessionOptions,
) -> Collected:
    """See `collect`; once the event is set it ends early, with what there is."""
    with ExitStack() as stack:
        if session is None:
            wanted: SessionOptions = {"lsl": False, "speed": DEFAULT_SPEED, **options}
            playing = stack.enter_context(Session.create(url=url, token=token, **wanted))
        else:
            playing = Session.create(session, url, token=token, **options)
        if trials is None and target is None and reach is None:
            filters: list[StreamOptions] = [{}]
        else:
            rows = choose_trials(playing.trials(), trials, target, reach)
            filters = [{"trial_id": row} for row in rows]
        packets: dict[int, Packet] = {}
        info: StreamInfo | None = None
        for each in filters:
            with connect(session=playing, **each) as stream:
                info = stream.info
                lap = Lap()
                for packet in stream:
                    if lap.add(packet) or ended.is_set():
                        break
                packets |= lap.packets
    assert info is not None
    return _as_arrays([packets[bin_index] for bin_index in sorted(packets)], info)


class Lap:
    """The bins of a playhead that plays one stretch of the recording over and over. Pure.

    It is complete when all bins from the first to the last one have been seen, and these are
    known when one wrap, from the last one to the first, came without a loss.
    """

    def __init__(self) -> None:
        self.packets: dict[int, Packet] = {}
        self._previous: Packet | None = None
        self._is_whole_span_known = False

    def add(self, packet: Packet) -> bool:
        """A packet came. Answers whether every bin has come now."""
        before, self._previous = self._previous, packet
        self.packets.setdefault(packet.packet_id, packet)
        if (
            before is not None
            and packet.loop == before.loop + 1
            and packet.sequence_number == before.sequence_number + 1
        ):
            self._is_whole_span_known = True
        if not self._is_whole_span_known:
            return False
        return len(self.packets) == max(self.packets) - min(self.packets) + 1


def choose_trials(
    known: Sequence[Mapping[str, Any]],
    trials: int | Iterable[int] | None,
    target: int | None,
    reach: int | None,
) -> list[int]:
    """The ids of the trials that are asked for."""
    matching = [
        int(trial["trial_id"])
        for trial in known
        if (target is None or trial["target_id"] == target)
        and (reach is None or trial["reach_id"] == reach)
    ]
    asked = ", ".join(
        f"{name}={value}"
        for name, value in (("target", target), ("reach", reach))
        if value is not None
    )
    which = f" with {asked}" if asked else ""
    if trials is None or isinstance(trials, int):
        n = len(matching) if trials is None else trials
        if not 1 <= n <= len(matching):
            raise ValueError(f"trials: got {n}, and the recording has {len(matching)}{which}")
        return matching[:n]
    chosen = list(dict.fromkeys(int(trial) for trial in trials))
    missing = sorted(set(chosen) - set(matching))
    if missing or not chosen:
        named = ", ".join(map(str, missing)) or "none"
        raise ValueError(f"trials: got {named}, and the recording has {len(matching)}{which}")
    return chosen


def _as_arrays(packets: Sequence[Packet], info: StreamInfo) -> Collected:
    return Collected(
        X=np.array([packet.counts for packet in packets], dtype=np.int32),
        Y=np.array([packet.kinematics for packet in packets], dtype=np.float64),
        trial_id=np.array([_or(packet.trial_id, -1) for packet in packets], dtype=np.int64),
        # None becomes NaN.
        trial_time_ms=np.array([packet.trial_time_ms for packet in packets], dtype=np.float64),
        packet_id=np.array([packet.packet_id for packet in packets], dtype=np.int64),
        info=info,
    )


def _or(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value
