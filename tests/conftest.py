"""What the tests of several parts share."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from phantomlink.recordings.recording import Recording, open_recording
from phantomlink.recordings.synthetic import synthesize

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # So a shell leaves it to what it runs in the background, and so would we to what we start;
    # the commands under test are to end at Ctrl-C however the tests were started.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Where CI is set pytest shows the whole difference of what is not equal, which for lists of
# thousands takes a quarter of an hour. The tests, and the workers of pytest-xdist, look at a name
# of their own.
if ci := os.environ.pop("CI", ""):
    os.environ["TESTS_ON_CI"] = ci

# How long an example takes says how busy the machine is. A test's own time limit is in
# pyproject.toml. CI takes the same examples each time.
if os.environ.get("TESTS_ON_CI"):
    settings.register_profile("phantomlink", deadline=None, derandomize=True, database=None)
else:
    settings.register_profile("phantomlink", deadline=None)
settings.load_profile("phantomlink")

_REAL = {Path(__file__).parent / name for name in ("e2e", "browser")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test of real processes, sockets and clocks two more chances, which are reported.

    A machine that others use too may stop it for seconds; of thousands, one then fails. What is
    broken fails each time. Tests of pure code and of virtual time have one chance.
    """
    for item in items:
        if _REAL.intersection(item.path.parents):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def synthetic_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recording like MC_Maze: 12 units, 6 trials; always the same data."""
    path = tmp_path_factory.mktemp("synthetic") / "small.nwb"
    synthesize(path, units=12, trials=6)
    return path


@pytest.fixture(scope="module")
def recording(synthetic_recording: Path) -> Iterator[Recording]:
    """That small recording, open; tests of other recordings have their own."""
    with open_recording(synthetic_recording) as opened:
        yield opened
