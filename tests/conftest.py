"""What the tests of several parts share."""

from pathlib import Path

import pytest

from phantomlink.source.synthetic import synthesize


@pytest.fixture(scope="session")
def synthetic_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recording like MC_Maze: 12 units, 6 trials; always the same data."""
    path = tmp_path_factory.mktemp("synthetic") / "small.nwb"
    synthesize(path, units=12, trials=6)
    return path
