"""Autobahn's cases of WebSocket conformance, against the echo of either entry.

`python -m tests.conformance.autobahn` runs every case of groups 1 to 7, 9 and 10 on every entry,
prints what did not pass, and ends with 1 if there was any. Groups 12 and 13 are about compression,
which `phantomlink serve` never agrees to.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import kosoku

from phantomlink.recordings.synthetic import synthesize
from tests.servers import ENTRIES, LiveServer, live_server

GROUPS = tuple(f"{group}.*" for group in (1, 2, 3, 4, 5, 6, 7, 9, 10))
_ROOT = Path(__file__).parents[2]


@contextmanager
def echo_server(recording: Path, entry: str) -> Iterator[LiveServer]:
    """The server of an entry, whose streams echo."""
    echo = "tests.conformance.echo"
    env = {"PYTHONPATH": str(_ROOT)}
    with live_server(recording, entry=entry, env=env, command=echo, app=f"{echo}:app") as server:
        yield server


def run_cases(server: LiveServer, cases: Sequence[str]) -> list[kosoku.CaseResult]:
    """The result of each case.

    Args:
        server: whose streams echo.
        cases: numbers of cases, and patterns such as `7.*`.
    """

    async def run() -> list[kosoku.CaseResult]:
        try:
            return await kosoku.run_fuzzingclient(f"{server.ws}/stream/echo", list(cases))
        except kosoku.FailureError as failure:
            return failure.results

    return asyncio.run(run())


def say(result: kosoku.CaseResult) -> str:
    """One line about what was expected of the server and what it did."""
    return (
        f"{result.case_id}: {result.behavior.value}, closing {result.behavior_close.value}: "
        f"{result.result} {result.result_close} "
        f"(close code {result.remote_close_code}, {result.duration} ms)"
    )


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=GROUPS, help="such as 6.4.1 or '9.*'")
    parser.add_argument("--entry", choices=ENTRIES, help="only this one")
    arguments = parser.parse_args()
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "small.nwb"
        synthesize(recording, units=12, trials=6)
        for entry in (arguments.entry,) if arguments.entry else ENTRIES:
            with echo_server(recording, entry) as server:
                results = run_cases(server, arguments.cases)
            for result in results:
                if not result.passed:
                    n_failed += 1
                    print(f"{entry} {say(result)}")  # noqa: T201
            verdicts = Counter(result.behavior.value for result in results)
            said = ", ".join(f"{n} {verdict}" for verdict, n in sorted(verdicts.items()))
            seconds = sum(result.duration for result in results) / 1000
            print(f"{entry}: {len(results)} cases in {seconds:.0f} s: {said}")  # noqa: T201
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
