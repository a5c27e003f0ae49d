"""`python -m phantomlink.captures.worker`: makes the other forms of a capture, for a server.

It has a GiB of memory; who starts it sees to it that it gives way to packets. On its standard
output it says what the journal holds, as JSON, and for each form that was wanted why it is not
there.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from phantomlink.errors import PhantomLinkError

MEMORY_BYTES = 2**30


def main() -> int:
    """Do what the arguments of this process say; answers its exit code."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    parser = argparse.ArgumentParser()
    parser.add_argument("capture", type=Path)
    parser.add_argument("outs", type=Path, nargs="*", help="files to make, by their endings")
    arguments = parser.parse_args()
    try:
        from phantomlink.captures.facts import read_facts  # noqa: PLC0415
        from phantomlink.captures.recovery import recover  # noqa: PLC0415

        recover(arguments.capture)
        facts = asdict(read_facts(arguments.capture))
    except (PhantomLinkError, OSError) as error:
        print(f"phantomlink: {error}", file=sys.stderr)  # noqa: T201
        return 2
    problems = {out.name: _convert(arguments.capture, out) for out in arguments.outs}
    print(json.dumps({"facts": facts, "problems": problems}))  # noqa: T201
    return 0


def _convert(capture: Path, out: Path) -> str | None:
    """Make one form; why it could not be made, or None."""
    from phantomlink.captures.convert import convert_journal  # noqa: PLC0415

    try:
        convert_journal(capture, out, overwrite=True)
    except (PhantomLinkError, OSError) as error:
        return str(error)
    except MemoryError:
        return f"it takes more than {MEMORY_BYTES >> 20} MiB: phantomlink convert has no such limit"
    return None


if __name__ == "__main__":
    sys.exit(main())
