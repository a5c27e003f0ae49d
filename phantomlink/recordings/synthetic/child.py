"""`python -m phantomlink.recordings.synthetic.child FILE`: the child process of a first start.

Makes what `phantomlink synth FILE --overwrite` makes, byte for byte, and leaves out what a process
that makes one file and ends can do without: the arguments of all commands, the garbage collector,
which works hardest while pynwb is imported, and scipy.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Make the file that is named, over one that is there.

    Changes its process, so it is for a process of its own.

    Returns:
        Exit code of `run_synth`.
    """
    gc.disable()
    # hdmf takes only the type of sparse matrices from it, and does without where it is missing.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    from phantomlink.recordings.synthetic.command import run_synth  # noqa: PLC0415

    (out,) = argv
    return run_synth(Path(out), overwrite=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
