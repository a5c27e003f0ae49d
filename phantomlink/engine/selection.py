"""Which bins a playhead plays, and where it is among them: pure arithmetic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence


class Selection:
    """Runs of bins, played back to back.

    Args:
        ranges: sorted, disjoint, not empty `[start, stop)` runs of bin indices.
    """

    __slots__ = ("_firsts", "_starts", "length", "ranges")

    def __init__(self, ranges: Sequence[tuple[int, int]]) -> None:
        if not ranges:
            raise ValueError("a selection needs at least one range of bins")
        previous = 0
        self._starts: list[int] = []
        self._firsts: list[int] = []  # position of each run's first bin in the selection
        self.length = 0
        for start, stop in ranges:
            if not previous <= start < stop:
                raise ValueError(f"ranges must be sorted, disjoint and not empty, got {ranges!r}")
            self._starts.append(start)
            self._firsts.append(self.length)
            self.length += stop - start
            previous = stop
        self.ranges = tuple(ranges)

    def bin_at(self, position: int) -> int:
        """Bin index at a position, 0 <= position < length."""
        run = bisect_right(self._firsts, position) - 1
        return self._starts[run] + position - self._firsts[run]

    def position_from(self, bin_index: int) -> int:
        """Position of the first bin at or after `bin_index`, wrapping to the first of all."""
        run = bisect_right(self._starts, bin_index) - 1
        if run >= 0 and bin_index < self.ranges[run][1]:
            return self._firsts[run] + bin_index - self._starts[run]
        following = bisect_left(self._starts, bin_index)
        return self._firsts[following] if following < len(self._starts) else 0

    def runs_from(self, position: int, at_most: int, *, loop: bool) -> Iterator[tuple[int, int]]:
        """Runs `[start, stop)` of bins from a position on, each of at most so many bins.

        Without `loop` it ends with the last bin; with it, it never does.
        """
        while True:
            while position < self.length:
                start = self.bin_at(position)
                run = bisect_right(self._firsts, position) - 1
                stop = min(self.ranges[run][1], start + at_most)
                yield start, stop
                position += stop - start
            if not loop:
                return
            position = 0


class Playhead:
    """Where a playback is: the next packet to be sent.

    Attributes:
        position: in the selection.
        sequence_number: of the next packet; never goes back.
        loop: times the selection has wrapped.
    """

    __slots__ = ("loop", "position", "selection", "sequence_number")

    def __init__(self, selection: Selection, from_bin: int = 0) -> None:
        self.selection = selection
        self.position = selection.position_from(from_bin)
        self.sequence_number = 0
        self.loop = 0

    @property
    def bin_index(self) -> int:
        """Bin of the next packet."""
        return self.selection.bin_at(self.position)

    def seek(self, bin_index: int) -> int:
        """Go to the first bin at or after `bin_index`, wrapping; answers which that is."""
        self.position = self.selection.position_from(bin_index)
        return self.bin_index

    def skip(self, n: int) -> None:
        """So many packets will never be sent."""
        loops, self.position = divmod(self.position + n, self.selection.length)
        self.sequence_number += n
        self.loop += loops

    def advance(self) -> bool:
        """The packet has been sent. True when it was the last and the playhead has wrapped."""
        self.sequence_number += 1
        self.position += 1
        if self.position < self.selection.length:
            return False
        self.position = 0
        self.loop += 1
        return True
