"""`python -m phantomlink.cli.synthetic_child FILE`: the child process of a first start.

Makes what `phantomlink synth FILE --overwrite` makes, byte for byte, and leaves out what a process
that makes one file and ends can do without: the arguments of all commands, the garbage collector,
which works hardest while pynwb is imported, and scipy.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path

_INTERRUPTED = 130


def main(argv: list[str]) -> int:
    """Make the file that is named, over one that is there.

    Changes its process, so it is for a process of its own.

    Returns:
        Exit code of `run_synth`, or 130 interrupted.
    """
    # A terminal interrupts its parent too, which has nothing to say either.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    # hdmf takes only the type of sparse matrices from it, and does without where it is missing.
    sys.modules["scipy"] = None  # type: ignore[assignment]
    from phantomlink.recordings.synthetic import run_synth  # noqa: PLC0415

    (out,) = argv
    try:
        # From here on there is half a file to be removed.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return run_synth(Path(out), overwrite=True)
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
