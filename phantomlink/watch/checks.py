"""What a client may rely on, checked packet by packet. Pure.

Every check looks at one promise and remembers how often it was broken and how first. Order is
judged by the sequence number: what was lost on the way to this client is one failure, not six.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from phantomlink.watch.contract import (
    UndecodableError,
    decode_message,
    metadata_problems,
    packet_problems,
    shown,
)
from phantomlink.watch.figures import Figures
from phantomlink.watch.verdicts import (
    NO_PACKET,
    CheckResult,
    Closed,
    judge_end,
    judge_losses,
    judge_rate,
    judge_silence,
)


class _Tally:
    """How often a promise was broken, and how first."""

    __slots__ = ("broken", "first")

    def __init__(self) -> None:
        self.broken = 0
        self.first = ""

    def fail(self, text: str) -> None:
        if not self.broken:
            self.first = text
        self.broken += 1

    def result(self, name: str, kept: str) -> CheckResult:
        if not self.broken:
            return CheckResult(name, True, kept)
        times = "" if self.broken == 1 else f" ({self.broken} times; this was the first)"
        return CheckResult(name, False, self.first + times)


class StreamChecker:
    """Takes the messages of one stream in order.

    Args:
        wanted: the filter that was asked for, by name; empty for none.

    Attributes:
        metadata: the first message when it was metadata; None before and otherwise.
        n_packets: data messages so far.
        n_other: messages of types that the contract does not name; they are allowed.
        gaps, lost: see Figures.
    """

    def __init__(self, wanted: Mapping[str, int] | None = None) -> None:
        self._wanted = dict(wanted or {})
        self.metadata: dict[str, Any] | None = None
        self.n_packets = 0
        self.n_other = 0
        self.gaps = 0
        self.lost = 0
        self._n_messages = 0
        self._first_type = ""
        self._metadata_problems: list[str] = []
        self._shape = _Tally()
        self._sequence = _Tally()
        self._order = _Tally()
        self._loop = _Tally()
        self._timestamps = _Tally()
        self._bin_size = _Tally()
        self._previous: dict[str, Any] | None = None
        self._following: dict[int, int] = {}
        self._wraps = 0

    def message(self, raw: bytes | str) -> dict[str, Any] | None:
        """The next message. Answers the `data` of a packet; None when it was none."""
        self._n_messages += 1
        try:
            message = decode_message(raw)
        except UndecodableError as error:
            self._shape.fail(str(error))
            self._previous = None
            return None
        kind = message["type"]
        if self._n_messages == 1:
            self._first_type = kind
            if kind == "metadata":
                self.metadata = message
                self._metadata_problems = metadata_problems(message)
        if kind != "data":
            self.n_other += kind != "metadata"
            return None
        return self._packet(message.get("data"))

    def results(self, figures: Figures, closed: Closed | None) -> tuple[CheckResult, ...]:
        """All checks, in the order in which a person reads them.

        Args:
            figures: what was measured of the same stream.
            closed: how the server ended it; None while it goes on.
        """
        return (
            self._metadata_first(),
            self._metadata_complete(),
            *self._packet_results(),
            judge_rate(figures, self.frequency_hz),
            judge_silence(figures, self.frequency_hz),
            judge_losses(figures),
            judge_end(closed),
        )

    @property
    def n_failing(self) -> int:
        """Promises about packets that have been broken so far."""
        tallies = (
            self._shape,
            self._sequence,
            self._order,
            self._loop,
            self._timestamps,
            self._bin_size,
        )
        return sum(tally.broken > 0 for tally in tallies)

    @property
    def frequency_hz(self) -> float | None:
        """Packets a second, as announced; None when they were not."""
        return self._announced("frequency_hz")

    @property
    def total_packets(self) -> int | None:
        """Bins of the recording, as announced; None when they were not."""
        total = self._announced("total_packets")
        return None if total is None else int(total)

    def _announced(self, name: str) -> float | None:
        data = self.metadata.get("data") if self.metadata is not None else None
        value = data.get(name) if isinstance(data, dict) else None
        if isinstance(value, (int, float)) and math.isfinite(value) and value > 0:
            return float(value)
        return None

    def _packet(self, data: Any) -> dict[str, Any] | None:
        self.n_packets += 1
        channel_ids = None
        if self.metadata is not None and not self._metadata_problems:
            channel_ids = self.metadata["data"]["channel_ids"]
        problems = packet_problems(data, channel_ids)
        if problems:
            self._shape.fail(f"packet {self.n_packets}: {problems[0]}")
            # One failure, not also a gap: what comes next is not judged by what came before this.
            self._previous = None
            return None
        assert isinstance(data, dict)
        self._check_bin_size(data)
        self._check_selection(data)
        if self._previous is not None:
            self._check_after(self._previous, data)
        self._previous = data
        return data

    def _check_bin_size(self, data: dict[str, Any]) -> None:
        announced = self._announced("bin_size_ms")
        first = self._previous["spikes"]["bin_size_ms"] if self._previous is not None else None
        wanted = announced if announced is not None else first
        got = data["spikes"]["bin_size_ms"]
        if wanted is not None and got != wanted:
            self._bin_size.fail(f"{_at(data)} has bins of {got} ms, not of {wanted} ms")

    def _check_selection(self, data: dict[str, Any]) -> None:
        total = self.total_packets
        if total is not None and data["packet_id"] >= total:
            self._order.fail(f"packet_id is {data['packet_id']} of a recording of {total} packets")
        for name, wanted in self._wanted.items():
            got = data["trial_id"] if name == "trial_id" else data["intention"][name]
            if got != wanted:
                self._order.fail(f"{_at(data)} has the {name} {shown(got)}, not {wanted}")

    def _check_after(self, before: dict[str, Any], data: dict[str, Any]) -> None:
        step = data["sequence_number"] - before["sequence_number"]
        if step != 1:
            self._sequence.fail(
                f"sequence_number went from {before['sequence_number']} to "
                f"{data['sequence_number']}"
            )
        if step > 1:
            self.gaps += 1
            self.lost += step - 1
        if data["timestamp"] <= before["timestamp"]:
            self._timestamps.fail(
                f"{_at(data)} has the timestamp {data['timestamp']:.6f}, the one before it "
                f"{before['timestamp']:.6f}"
            )
        if step >= 1:
            self._check_position(before, data, step)

    def _check_position(self, before: dict[str, Any], data: dict[str, Any], step: int) -> None:
        """packet_id and loop of two packets that are `step` apart in their playback."""
        old, new = before["packet_id"], data["packet_id"]
        wraps = data["loop"] - before["loop"]
        self._wraps += wraps > 0
        moved = f"packet_id went from {old} to {new} with the loop from {before['loop']} to " + (
            f"{data['loop']}, {step} packets later" if step > 1 else f"{data['loop']}"
        )
        total = self.total_packets
        if not self._wanted and total is not None:
            follows = new == (old + step) % total
            wanted_wraps = (old + step) // total if follows else 0
            loop_follows = wraps == wanted_wraps if follows else 0 <= wraps <= step
        else:
            follows, loop_follows = self._follows_in_part(old, new, wraps, step)
        if not follows:
            self._order.fail(f"{moved} (a seek does this too)")
        if not loop_follows:
            self._loop.fail(moved)

    def _follows_in_part(self, old: int, new: int, wraps: int, step: int) -> tuple[bool, bool]:
        """As far as it can be judged without knowing which bins are played: those that match a
        filter, in order, the same in every loop."""
        if step > 1:
            return (wraps > 0 or new > old), 0 <= wraps <= step
        follows = self._following.setdefault(old, new) == new and (wraps != 0 or new > old)
        return follows, wraps in (0, 1) and (wraps == 0 or new <= old)

    def _metadata_first(self) -> CheckResult:
        name = "the first message is metadata"
        if self._first_type == "metadata":
            return CheckResult(name, True, "it is")
        if not self._n_messages:
            return CheckResult(name, False, "no message came")
        kind = f"of the type {shown(self._first_type)}" if self._first_type else "unreadable"
        return CheckResult(name, False, f"the first message is {kind}")

    def _metadata_complete(self) -> CheckResult:
        name = "the metadata is complete"
        if self.metadata is None:
            return CheckResult(name, False, "there is none")
        if self._metadata_problems:
            return CheckResult(name, False, "; ".join(self._metadata_problems[:5]))
        return CheckResult(name, True, "stream, session and the packet at the playhead")

    def _packet_results(self) -> tuple[CheckResult, ...]:
        asked = ", ".join(f"{name} {value}" for name, value in self._wanted.items())
        checks = (
            ("every packet has the contract's shape", self._shape, f"{self.n_packets} packets"),
            ("sequence_number is +1 every time", self._sequence, "no jump, no repetition"),
            (
                "packet_id follows",
                self._order,
                f"in order, only {asked}" if asked else "+1, or back to the first bin",
            ),
            (
                "loop counts the wraps",
                self._loop,
                f"{self._wraps} seen" if self._wraps else "none seen",
            ),
            ("timestamps increase", self._timestamps, "every time"),
            ("bin_size_ms is constant", self._bin_size, "the same in every packet"),
        )
        if not self.n_packets:
            return tuple(CheckResult(name, False, NO_PACKET) for name, _, _ in checks)
        return tuple(tally.result(name, kept) for name, tally, kept in checks)


def _at(data: Mapping[str, Any]) -> str:
    return f"packet {data['packet_id']} (sequence_number {data['sequence_number']})"
