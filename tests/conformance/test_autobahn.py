"""Autobahn's cases on both entries, and what upstream does that they stumble over.

Of group 9 only the ends of each series are run here: what lies between differs in size alone, and
the cases of 64-byte fragments take as long as all others together. `python -m
tests.conformance.autobahn` runs every case.
"""

from __future__ import annotations

import pytest

from tests.conformance.autobahn import echo_server, run_cases, say
from tests.servers import ENTRIES

CASES = {
    "framing": ("1.*", "2.*", "3.*", "4.*"),
    "fragments": ("5.*",),
    "utf-8": ("6.*",),
    "closing": ("7.*",),
    "sizes": (
        *("9.1.1", "9.1.6", "9.2.1", "9.2.6"),  # 64 KiB and 16 MiB in one frame
        *("9.3.2", "9.3.9", "9.4.2", "9.4.9"),  # 4 MiB in fragments, of 256 bytes and in one
        *("9.5.1", "9.5.6", "9.6.1", "9.6.6"),  # 1 MiB in chops of 64 bytes and 2 KiB
        *("9.7.1", "9.7.6", "9.8.1", "9.8.6"),  # 1000 messages, of no bytes and of 16 KiB
        "10.*",
    ),
}
AT_LEAST = {"framing": 44, "fragments": 20, "utf-8": 145, "closing": 37, "sizes": 17}
GOOD = {"OK", "INFORMATIONAL"}


@pytest.fixture(scope="module", params=ENTRIES)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def server(entry, synthetic_recording):
    with echo_server(synthetic_recording, entry) as server:
        yield server
        assert server.process.poll() is None, f"the server died:\n{server.log}"
        assert "Traceback" not in server.log


def faults(results, entry):
    # hypercorn reads on while the application still has something to send, and drops the
    # connection of who breaks the protocol: what was to be echoed before is lost now and then.
    good = GOOD | ({"NON-STRICT"} if entry == "hypercorn" else set())
    return [r for r in results if not (r.passed and r.behavior.value in good)]


@pytest.mark.parametrize("name", CASES)
def test_every_case_passes(server, entry, name):
    results = run_cases(server, CASES[name])
    assert len(results) >= AT_LEAST[name]
    failed = faults(results, entry)
    if failed:
        # They give the server a second: on a machine that stood still, that is none.
        failed = faults(run_cases(server, [result.case_id for result in failed]), entry)
    assert not failed, "\n".join(map(say, failed))


BROKEN_RULES = {"3.1": 1002, "4.1.1": 1002, "5.1": 1002, "6.3.1": 1007, "7.9.2": 1002}


def test_a_client_that_breaks_a_rule_is_told_which(server, entry):
    told = {r.case_id: r.remote_close_code for r in run_cases(server, list(BROKEN_RULES))}
    if entry == "hypercorn":
        # It drops the connection and says nothing: should this fail, it has been mended.
        assert told == dict.fromkeys(BROKEN_RULES)
    else:
        assert told == BROKEN_RULES
