"""`python -m phantomlink.calibration.worker ...`: `phantomlink fit`, with a GiB of memory.

Who starts it sees to it that it gives way to everything else on the machine.
"""

from __future__ import annotations

import argparse
import sys

MEMORY_BYTES = 2**30


def main() -> int:
    """Run `phantomlink fit` with the arguments of this process; answers its exit code."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    from phantomlink.errors import PhantomLinkError  # noqa: PLC0415
    from phantomlink.evaluation.arguments import add_fit  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    add_fit(parser.add_subparsers())
    arguments = parser.parse_args(["fit", *sys.argv[1:]])
    try:
        return int(arguments.run(arguments))
    except PhantomLinkError as error:
        print(f"phantomlink: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except MemoryError:
        print(f"phantomlink: takes more than {MEMORY_BYTES >> 20} MiB", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
