from collections.abc import Iterator
from pathlib import Path

import pytest

from phantomlink.recordings.synthetic import synthesize
from tests.front import fronting
from tests.large_files import make_large
from tests.nodes import NOISE, SEED, valkey_at
from tests.rest import running
from tests.servers import LiveServer, live_server
from tools.cluster_oracle import Oracle


@pytest.fixture(scope="session")
def maze_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording like MC_Maze, but of 60 trials (3 minutes); always the same data."""
    path = tmp_path_factory.mktemp("maze") / "maze.nwb"
    synthesize(path, trials=60)
    return path


@pytest.fixture(scope="session")
def maze_server(maze_recording: Path) -> Iterator[LiveServer]:
    """`phantomlink serve` playing `maze_recording` at 40 Hz, with room for 100 sessions."""
    with live_server(maze_recording, env={"PHANTOM_MAX_CONNECTIONS": "100"}) as server:
        yield server
        assert server.process.poll() is None, f"the server died:\n{server.log}"
        assert server.terminate() == 0, server.log


@pytest.fixture(scope="session")
def large_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that is read while it plays; tests that damage its file take a copy."""
    path = tmp_path_factory.mktemp("large") / "large.nwb"
    make_large(path)
    return path


@pytest.fixture
async def app(synthetic_recording):
    async with running(synthetic_recording) as app:
        yield app


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
async def front(synthetic_recording, nursery):
    async with fronting(synthetic_recording, nursery) as front:
        yield front


@pytest.fixture
def recording(large_recording, tmp_path):
    """A large recording of a test's own, which it may break."""
    path = tmp_path / "large.nwb"
    path.write_bytes(large_recording.read_bytes())
    return path


@pytest.fixture
def valkey(tmp_path):
    """A Valkey of the test's own."""
    with valkey_at(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def oracle(synthetic_recording):
    """Computes each packet of a session of the nodes' tests."""
    return Oracle(synthetic_recording, NOISE, SEED)
