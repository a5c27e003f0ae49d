"""Process: everything that disturbs: churn, REST load, slow clients, hostile connections.

Talk: hears where and how much; tells `{"ready": true}`; then, for every line that it hears, tells
what it has done so far.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPException

from _bench.churn import Action, Pace, operations, requests
from _bench.talk import fail, hear, tell

from .hostile import corpus, play
from .slow import SlowClients


def hostilities(host: str, port: int) -> Iterator[Action]:
    """The corpus, again and again, closed and reset in turn."""

    def act(data: bytes, *, reset: bool) -> bool:
        with suppress(ConnectionError):
            play((host, port), data, reset=reset)
        return True

    for n in itertools.count():
        for data in corpus().values():
            yield partial(act, data, reset=bool(n % 2))


def main() -> None:
    """Entry of the process."""
    config = hear()
    host, port, codes = config["host"], config["port"], config["codes"]
    try:
        paces = {
            "churn": Pace(config["churn_per_second"], operations(host, port, config["n_trials"])),
            "REST calls": Pace(config["requests_per_second"], requests(host, port, codes[0])),
            "hostile connections": Pace(config["hostile_per_second"], hostilities(host, port)),
        }
        for pace in paces.values():
            pace.start()
        slow = SlowClients(host, port, codes, config["slow_clients"])
    except (OSError, HTTPException) as error:
        fail(f"trouble: {error}")
    tell({"ready": True})
    while not hear().get("stop"):
        tell(_done(paces, slow))
    for pace in paces.values():
        pace.stop()
    slow.stop()
    tell(_done(paces, slow))


def _done(paces: dict[str, Pace], slow: SlowClients) -> dict[str, object]:
    return {
        "calls": {name: [pace.done, pace.failed] for name, pace in paces.items()},
        "slow_clients": slow.done(),
    }


if __name__ == "__main__":
    main()
