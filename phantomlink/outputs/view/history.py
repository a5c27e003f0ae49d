"""The last columns of a feed, by number, so that each viewer takes what it has not had yet."""

from __future__ import annotations

from collections import deque

from phantomlink.outputs.view.columns import Columns, joined
from phantomlink.outputs.view.merging import Waiting, shortened

KEPT_COLUMNS = 1200


class ColumnHistory:
    """Columns numbered from 0 as they come.

    Args:
        kept: how many, at least; the oldest piece goes when the others are enough.

    Attributes:
        end: number of the next column.
    """

    def __init__(self, kept: int = KEPT_COLUMNS) -> None:
        self._kept = kept
        self._pieces: deque[tuple[int, Columns]] = deque()
        self.end = 0

    @property
    def start(self) -> int:
        """Number of the oldest column that is kept."""
        return self._pieces[0][0] if self._pieces else self.end

    def append(self, columns: list[Columns]) -> None:
        """Add columns; the oldest go where there are enough without them."""
        for each in columns:
            self._pieces.append((self.end, each))
            self.end += len(each)
        while self._pieces and self.end - self.start - len(self._pieces[0][1]) >= self._kept:
            self._pieces.popleft()

    def since(self, number: int) -> Waiting:
        """What has come from a column on, shortened to what one message may hold.

        Args:
            number: of the first column wanted; where it is gone, those before the oldest are a gap.
        """
        gap = max(0, self.start - number)
        wanted: list[Columns] = []
        # From the newest back: who keeps up lacks the last piece of hundreds.
        for first, columns in reversed(self._pieces):
            if first + len(columns) <= number:
                break
            part = columns if first >= number else columns.part(number - first, len(columns))
            wanted.append(part)
        return shortened(joined(wanted[::-1]), gap=gap)

    def everything(self) -> list[Columns]:
        """All that is kept, oldest first."""
        return joined([columns for _, columns in self._pieces])
