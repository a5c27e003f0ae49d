"""What a client lost, by sequence numbers. Pure."""

from __future__ import annotations

# Late packets are looked for among so many of those that were missed.
_REMEMBERED = 4096


class Gaps:
    """Counts packets that came, and those that did not.

    Attributes:
        n_received: packets that came.
        n_lost: packets of this playback that did not; one that comes late after all is taken off.
        n_gaps: how often one or more were missing in a row.
        n_out_of_order: packets that came after a later one.
        n_duplicates: packets that came again.
    """

    def __init__(self) -> None:
        self.n_received = 0
        self.n_lost = 0
        self.n_gaps = 0
        self.n_out_of_order = 0
        self.n_duplicates = 0
        self._expected: int | None = None
        self._missing: dict[int, None] = {}
        self._may_begin_again = False

    def reconnected(self) -> None:
        """The next packet comes over a new connection: its playback may be a new one."""
        self._may_begin_again = True

    def add(self, sequence_number: int) -> int:
        """A packet came. Answers how many were lost just before it."""
        expected = sequence_number if self._expected is None else self._expected
        if self._may_begin_again and sequence_number < expected:
            expected = sequence_number
            self._missing.clear()
        self._may_begin_again = False
        self.n_received += 1
        lost = sequence_number - expected
        if lost < 0:
            if sequence_number in self._missing:
                del self._missing[sequence_number]
                self.n_lost -= 1
                self.n_out_of_order += 1
            else:
                self.n_duplicates += 1
            return 0
        self._expected = sequence_number + 1
        if lost:
            self.n_lost += lost
            self.n_gaps += 1
            for missing in range(max(expected, sequence_number - _REMEMBERED), sequence_number):
                self._missing[missing] = None
            while len(self._missing) > _REMEMBERED:
                del self._missing[next(iter(self._missing))]
        return lost

    def __repr__(self) -> str:
        return (
            f"Gaps(n_received={self.n_received}, n_lost={self.n_lost}, n_gaps={self.n_gaps}, "
            f"n_out_of_order={self.n_out_of_order}, n_duplicates={self.n_duplicates})"
        )
