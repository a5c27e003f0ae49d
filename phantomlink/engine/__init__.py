"""Sessions, their playheads, and the clock that releases each packet on time."""
