"""Random bits by address: any row of any stream of bits, without the rows before it.

The bits are those of numpy's Philox, whose sequence is fixed for ever, used as a function of a key
and a counter: the key holds the seed and which transform asks, the counter the loop and the
packet. A block of packets is one call, since its counters follow each other. The distributions of
numpy are not used anywhere: what they make of the same bits may change with its version, and what
log and cosine give in the last digit changes with the processor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WORDS = 4
"""64-bit words of one counter of Philox4x64."""

_LITTLE = np.dtype("<u8")
_IS_LITTLE = _LITTLE.isnative
_HALVES, _QUARTERS = np.dtype("<u4"), np.dtype("<u2")


class Bits:
    """One stream of random bits, cut into rows of equal length.

    Reading sets the state of a generator that is kept, because making one costs six times as
    much; rows behind those that were read last are what it gives next. So what is read depends
    on the address alone, but two threads may not share a stream.

    Args:
        seed: 0 to 2**63 - 1.
        tag: 0 to 2**64 - 1, who asks; streams of different tags have nothing in common.
        row_bytes: random bytes needed in a row.
    """

    __slots__ = ("_counter", "_generator", "_next", "_row_words", "_state", "_stride")

    def __init__(self, seed: int, tag: int, row_bytes: int) -> None:
        self._stride = -(-row_bytes // (8 * _WORDS))
        self._row_words = self._stride * _WORDS
        self._generator = np.random.Philox(key=np.array([seed, tag], dtype=np.uint64))
        state: Any = self._generator.state
        self._state = state
        self._counter: NDArray[np.uint64] = state["state"]["counter"]
        self._next = (0, 0)

    def rows(self, first: int, n: int, loop: int = 0) -> NDArray[np.uint64]:
        """Rows [first, first + n) of a loop: (n, words of a row), little-endian words."""
        if (first, loop) != self._next:
            self._counter[0] = first * self._stride
            self._counter[1] = loop
            self._generator.state = self._state
        self._next = (first + n, loop)
        raw = self._generator.random_raw(n * self._row_words).reshape(n, self._row_words)
        return raw if _IS_LITTLE else raw.astype(_LITTLE)

    def halves(self, first: int, n: int, count: int, loop: int = 0) -> NDArray[np.uint32]:
        """(n, count) 32-bit numbers of those rows; rows must have been made long enough."""
        return self.rows(first, n, loop).view(_HALVES)[:, :count]

    def quarters(self, first: int, n: int, count: int, loop: int = 0) -> NDArray[np.uint16]:
        """(n, count) 16-bit numbers of those rows; rows must have been made long enough."""
        return self.rows(first, n, loop).view(_QUARTERS)[:, :count]
