"""Plays for a long time under everything at once, and looks whether anything grows or is lost.

    python tools/soak.py --minutes 20
    python tools/soak.py --minutes 3 --json soak.json

docs/internals/soak.md says what is done, what is counted and what is decided from it.
"""

from __future__ import annotations

import sys

from _soak.command import main

if __name__ == "__main__":
    sys.exit(main())
