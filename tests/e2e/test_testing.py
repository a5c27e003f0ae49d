"""phantomlink.testing as a project uses it: in a pytest of its own, with nothing of this one's."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request

import pytest

from phantomlink.testing import ServerError, make_recording, running_server
from tests.blocks import ROOT, blocks

PLUGIN = "phantomlink.testing.plugin"
OPTIONS = ("-p", PLUGIN, "-p", "no:xdist", "--strict-markers", "-W", "error", "-v", "-rA")

CHECKS = """
import sys
import urllib.request

import pytest


def test_the_plugin_costs_nothing_until_a_fixture_is_used():
    heavy = {"numpy", "msgpack", "websockets", "trio", "h5py", "pynwb"}
    assert not heavy & {name.partition(".")[0] for name in sys.modules}
    assert {name for name in sys.modules if name.startswith("phantomlink.")} <= {
        *("phantomlink.testing", "phantomlink.testing.plugin", "phantomlink.testing.server")
    }


@pytest.mark.phantomlink(perturbation="light", seed=1, speed=2)
class TestMarked:
    @pytest.mark.phantomlink(seed=5)
    def test_the_session_is_as_the_marks_ask(self, phantomlink_session):
        from phantomlink.client import connect

        stats = phantomlink_session.perturbation()
        assert (stats["perturbation"]["name"], stats["seed"]) == ("light", 5)
        with connect(session=phantomlink_session) as stream:
            first = stream.receive(10)
            assert (first.packet_id, len(first.counts)) == (0, 96)
            assert stream.info.frequency_hz == 80
        print("code", phantomlink_session.code)

    def test_a_test_may_delete_its_session(self, phantomlink_session):
        assert len(phantomlink_session.trials()) == 20
        print("code", phantomlink_session.code)
        phantomlink_session.delete()


def test_no_session_is_left_behind(phantomlink_server, monkeypatch):
    assert phantomlink_server.environment == {"PHANTOM_URL": phantomlink_server.url}
    with urllib.request.urlopen(phantomlink_server.url + "/api/sessions") as answer:
        assert b'"sessions":{}' in answer.read().replace(b" ", b"")
    assert "LSL" not in phantomlink_server.log
    assert "maze-of-ours" in phantomlink_server.log
"""

CONFTEST = """
import pytest


@pytest.fixture(scope="session")
def phantomlink_settings():
    return {"max_sessions": "3", "log_level": "info"}


@pytest.fixture(scope="session")
def phantomlink_recording(tmp_path_factory):
    from phantomlink.testing import make_recording

    return make_recording(tmp_path_factory.getbasetemp() / "maze-of-ours.nwb")
"""


def run_pytest(folder, *arguments):
    # Under TOX_ENV_DIR pytest keeps its cache in tox's folder, not in the project's.
    ours = ("PYTEST_", "PHANTOM_", "TOX_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"PYTHONPATH": str(ROOT), "PHANTOM_PORT": "not a port"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *arguments],
        cwd=folder,
        env=environment | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_project_has_its_server_and_its_sessions(tmp_path):
    (tmp_path / "test_checks.py").write_text(CHECKS)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
    codes = re.findall(r"^code (\S+)", done.stdout, re.MULTILINE)
    assert len(set(codes)) == 2


def test_the_example_of_the_page_passes_and_its_recording_is_kept(tmp_path):
    shutil.copy(ROOT / "examples/ci/test_decoder.py", tmp_path)
    done = run_pytest(tmp_path, "-p", "cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert len(list((tmp_path / ".pytest_cache/d/phantomlink").glob("*.nwb"))) == 1


def test_the_blocks_of_the_page_do_what_it_says(tmp_path):
    marked, conftest, without_pytest = (
        block.code for block in blocks(ROOT / "docs/guide/ci.md") if block.language == "python"
    )
    make_recording(tmp_path / "recordings/ours.nwb", units=4, trials=4)
    (tmp_path / "test_marked.py").write_text(marked)
    (tmp_path / "conftest.py").write_text(conftest)
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    script = [sys.executable, "-W", "error", "-c", without_pytest]
    printed = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\[\d( \d){7}\]", printed.stdout.strip())


def test_pytest_finds_the_plugin_by_itself_and_this_suite_is_left_alone():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["entry-points"]["pytest11"] == {"phantomlink": PLUGIN}
    assert "no:phantomlink" in pyproject["tool"]["pytest"]["ini_options"]["addopts"]
    assert PLUGIN not in sys.modules


# --- without pytest


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_recording(tmp_path_factory.mktemp("small") / "small.nwb", units=4, trials=2)


def test_a_recording_that_is_there_is_taken(small):
    before = small.stat()
    assert make_recording(small, units=4, trials=2) == small
    assert small.stat() == before


def test_what_cannot_be_made_says_why(tmp_path):
    with pytest.raises(ServerError, match="units: got 0"):
        make_recording(tmp_path / "none.nwb", units=0)


def test_a_server_runs_until_the_block_is_left(small):
    with (
        running_server(small, {"PHANTOM_MAX_SESSIONS": "7"}) as server,
        urllib.request.urlopen(server.url + "/api/metadata") as answer,
    ):
        assert json.load(answer)["dataset"] == "small"
    assert server.process.returncode == 0
    assert "Traceback" not in server.log


def run_to_its_end(*arguments):
    with running_server(*arguments) as server:
        server.process.kill()
        server.process.wait()


def test_a_server_that_does_not_start_says_why(small, tmp_path):
    with pytest.raises(ServerError, match=r"ended while starting; its log:\n.*LOOP: got 'x'"):
        run_to_its_end(small, {"loop": "x"})
    with pytest.raises(ServerError, match="no such file"):
        run_to_its_end(tmp_path / "none.nwb")


def test_a_server_that_dies_is_an_error(small):
    with pytest.raises(ServerError, match="ended with exit code -9; its log:\n"):
        run_to_its_end(small)


def test_an_error_in_the_block_ends_the_server_and_is_raised(small):
    with pytest.raises(KeyError), running_server(small) as server:
        raise KeyError
    assert server.process.wait(10) is not None
