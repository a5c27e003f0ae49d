"""`python -m phantomlink.cli.synthetic_child FILE`: the child process of a first start.

Makes what `phantomlink synth FILE --overwrite` makes, byte for byte, and leaves out what a process
that makes one file and ends can do without: the arguments of all commands, the garbage collector,
which works hardest while pynwb is imported, and scipy. A fork draws the recording meanwhile, since
somebody waits: drawing it and importing pynwb take about a second each.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phantomlink.recordings.synthetic import SyntheticRecording

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
    drawn = _begin_to_draw()
    from phantomlink.recordings.synthetic import run_synth  # noqa: PLC0415

    (out,) = argv
    try:
        # From here on there is half a file to be removed.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return run_synth(Path(out), overwrite=True, draw=drawn)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _begin_to_draw() -> Callable[..., SyntheticRecording]:
    """Have a fork draw the recording that is made by default.

    Before numpy is imported: a fork would not have its threads.

    Returns:
        Waits for the recording, and imports meanwhile what writes it.
    """
    if not hasattr(os, "fork"):
        return _draw_here
    received, sent = os.pipe()
    child = os.fork()
    if not child:
        os.close(received)
        try:
            from phantomlink.recordings.read_contents import send  # noqa: PLC0415

            with os.fdopen(sent, "wb") as out:
                send(_draw_here(), out)
        finally:
            # Whatever went wrong: who waits finds no recording, draws it and says the same.
            os._exit(0)
    os.close(sent)

    def wait(**arguments: object) -> SyntheticRecording:
        from phantomlink.recordings.read_contents import receive  # noqa: PLC0415
        from phantomlink.recordings.synthetic.nwb import import_pynwb  # noqa: PLC0415

        import_pynwb()
        try:
            with os.fdopen(received, "rb", buffering=0) as stream:
                recording: SyntheticRecording = receive(stream.readinto)
        except EOFError:
            return _draw_here()
        finally:
            os.waitpid(child, 0)
        return recording

    return wait


def _draw_here(**_: object) -> SyntheticRecording:
    """The recording of a first start: nobody has said what it is to be like."""
    from phantomlink.recordings.synthetic import draw_recording  # noqa: PLC0415

    return draw_recording()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
