"""Measures how evenly packets arrive at clients, beside what else one could use.

    python tools/jitter.py --quick
    python tools/jitter.py --scenario many --json many.json --plot many.png

docs/internals/benchmark.md says what is measured where, and how to read it.
"""

from __future__ import annotations

import sys

from _bench.command import main

if __name__ == "__main__":
    sys.exit(main())
