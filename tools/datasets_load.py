"""Plays many datasets at once on one server, and checks every packet against its own file.

    python tools/datasets_load.py at-once GENUINE.nwb ...            # two minutes
    python tools/datasets_load.py hopping --minutes 5
    python tools/datasets_load.py opening

at-once: the synthetic recording, those that are named, an hour of 1024 units and an XDF file that
LabRecorder recorded and that was converted; 20 sessions. Slices in which further datasets are
opened and let go take turns with slices without. hopping: 40 datasets in the folder, sessions that
come, play a second and go. opening: what each further open recording of 142 units costs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench.datasets import at_once, hopping, opening
from tools.bench.harness.server import positive
from tools.bench.harness.text import Verdict

_KINDS: dict[str, Callable[[argparse.Namespace, Path, ExitStack], list[Verdict]]] = {
    "at-once": at_once.measure,
    "hopping": hopping.measure,
    "opening": opening.measure,
}


def main() -> int:
    """0 when every criterion holds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, number, whole = parser.add_argument, positive(float), positive(int)
    add("kind", choices=_KINDS)
    add("recordings", nargs="*", type=Path, help="at-once: further recordings")
    add("--large", type=Path, help="an hour of 1024 units that is there already")
    add("--sessions", type=whole, default=20, help="at-once (%(default)s)")
    add("--slices", type=whole, default=12, help="at-once: of both kinds (%(default)s)")
    add("--slice-seconds", type=number, default=5.0, help="at-once (%(default)s)")
    add("--minutes", type=number, default=5.0, help="hopping (%(default)s)")
    add("--datasets", type=whole, default=40, help="hopping, opening (%(default)s)")
    add("--folder", type=Path, help="hopping: where its datasets are made, and kept")
    add("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # Indexes and facts of these files are nobody else's.
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        verdicts = _KINDS[arguments.kind](arguments, folder, stack)
    print(as_json(verdicts) if arguments.json else as_text(verdicts))
    return int(any(verdict.passed is False for verdict in verdicts))


def as_text(verdicts: list[Verdict]) -> str:
    """For a person."""
    said = {True: "holds", False: "fails", None: "not judged"}
    return "\n".join(f"{v.criterion}: {v.figure}: {said[v.passed]}" for v in verdicts)


def as_json(verdicts: list[Verdict]) -> str:
    """For a program."""
    found: list[dict[str, Any]] = [
        {"criterion": v.criterion, "figure": v.figure, "passed": v.passed} for v in verdicts
    ]
    return json.dumps(found)


if __name__ == "__main__":
    sys.exit(main())
