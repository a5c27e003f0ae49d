"""Say where the microseconds of a tick go, from its deadline to the last byte and after it.

    python tools/tick_profile.py
    python tools/tick_profile.py --scenario 100x1 --rounds 5 --json ticks.json

docs/internals/tick.md says what is measured how, and what came out.
"""

from __future__ import annotations

import sys

from _profile.command import main

if __name__ == "__main__":
    sys.exit(main())
