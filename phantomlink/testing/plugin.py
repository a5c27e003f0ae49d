"""Fixtures for pytest: a server with a seeded synthetic recording, and a session for each test.

pytest loads this module in every project in which PhantomLink is installed, so it imports nothing
but pytest; what a fixture needs is imported when one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from phantomlink.client import Session
    from phantomlink.testing.server import TestServer

_MARKER = (
    "phantomlink(**options): what the session of `phantomlink_session` is to be: perturbation, "
    "seed, speed, bin_size_ms, ..."
)


def pytest_configure(config: pytest.Config) -> None:
    """The marker is known, also under --strict-markers."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture(scope="session")
def phantomlink_recording(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The recording that the server plays: 96 units, 20 trials, the same in every run.

    It is made once and kept in pytest's cache. A project that wants another one overrides this
    fixture in its conftest.py.
    """
    from phantomlink import __version__  # noqa: PLC0415
    from phantomlink.testing.server import make_recording  # noqa: PLC0415

    cache = getattr(request.config, "cache", None)  # not there under -p no:cacheprovider
    folder = tmp_path_factory.mktemp("phantomlink") if cache is None else cache.mkdir("phantomlink")
    return make_recording(folder / f"synthetic-{__version__}.nwb")


@pytest.fixture(scope="session")
def phantomlink_settings() -> Mapping[str, str]:
    """Settings of the server, by their names without PHANTOM_; overridden in a conftest.py."""
    return {}


@pytest.fixture(scope="session")
def phantomlink_server(
    phantomlink_recording: Path,
    phantomlink_settings: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[TestServer]:
    """A server of these tests' own: its `url`, its `log`, its `environment` for other programs."""
    from phantomlink.testing.server import running_server  # noqa: PLC0415

    cache_dir = tmp_path_factory.mktemp("phantomlink-cache")
    with running_server(phantomlink_recording, phantomlink_settings, cache_dir=cache_dir) as server:
        yield server


@pytest.fixture
def phantomlink_session(
    request: pytest.FixtureRequest, phantomlink_server: TestServer
) -> Iterator[Session]:
    """A new session at the recording's beginning, as `@pytest.mark.phantomlink(...)` asks."""
    from phantomlink.client import RefusedError, Session  # noqa: PLC0415

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("phantomlink"))):
        options |= marker.kwargs
    session = Session.create(url=phantomlink_server.url, **options)
    yield session
    with suppress(RefusedError):  # the test may have deleted it
        session.delete()
