"""The synthetic recording of a first start: made by a child, while the server is imported."""

import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from phantomlink.errors import RecordingError
from phantomlink.recordings.locate import locate_recording
from phantomlink.recordings.synthetic_default import made_meanwhile
from phantomlink.settings import Settings
from tests.waiting import until

# In place of `python -m phantomlink.cli.synthetic_child PATH`.
MAKER = """#!{python}
import sys, time
from pathlib import Path

folder = Path({folder!r})
(folder / "begun").touch()
while not (folder / "go").exists():
    time.sleep(0.01)
assert sys.argv[1:3] == ["-m", "phantomlink.cli.synthetic_child"]
Path(sys.argv[3]).write_text("made")
"""


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """A folder where the maker says that it has begun, and is told to go on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "maker"
    program.write_text(MAKER.format(python=sys.executable, folder=str(tmp_path)))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return tmp_path


def made(folder: Path) -> list[str]:
    return [path.read_text() for path in (folder / "cache/phantomlink").glob("*.nwb")]


def test_it_is_made_while_the_block_runs(maker):
    settings = Settings()
    with made_meanwhile(settings, None):
        until((maker / "begun").exists)
        assert made(maker) == []
        (maker / "go").touch()
    assert made(maker) == ["made"]
    (maker / "begun").unlink()
    with made_meanwhile(settings, None):
        pass
    assert locate_recording(settings, None).read_text() == "made"
    assert not (maker / "begun").exists()


@pytest.mark.parametrize("wanted", ["mine", None])
def test_nothing_is_made_where_a_recording_is_named(maker, wanted):
    settings = Settings(data_dir=maker) if wanted else Settings(dataset="mine")
    with made_meanwhile(settings, wanted):
        pass
    assert not (maker / "cache").exists()


def test_a_block_that_fails_ends_the_maker(maker):
    def fail_when_it_has_begun():
        with made_meanwhile(Settings(), None):
            until((maker / "begun").exists)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_when_it_has_begun()
    (maker / "go").touch()
    assert made(maker) == []


def test_a_maker_that_fails_is_told(maker):
    (maker / "go").touch()
    (maker / "maker").write_text(f"#!{sys.base_prefix}/bin/python3\nraise SystemExit(3)\n")
    with (
        pytest.raises(RecordingError, match=r"could not be made \(exit code 3\)"),
        made_meanwhile(Settings(), None),
    ):
        pass


CHILD = """
import sys
from phantomlink.cli.synthetic_child import main

code = main(sys.argv[1:])
assert sys.modules["scipy"] is None
heavy = {"rich", "phantomlink.cli.arguments", "scipy.sparse"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


USUALLY = """
import pathlib, sys
from phantomlink.recordings.synthetic import synthesize

synthesize(pathlib.Path(sys.argv[1]))
"""


def test_the_child_makes_the_same_bytes_with_less(tmp_path):
    out = tmp_path / "child.nwb"
    out.write_text("an old one")
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, out], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert ended.stderr.startswith(f"{out}: synthetic recording, 142 units")
    # Not in this process: a test may have loaded an extension of NWB, which is put in each file.
    usual = tmp_path / "usual.nwb"
    subprocess.run([sys.executable, "-c", USUALLY, usual], check=True)
    assert out.read_bytes() == usual.read_bytes()


WITHOUT_ITS_FORK = """
import os, sys
from phantomlink.cli import synthetic_child

drawing = os.getpid()

def draw(**_):
    if os.getpid() != drawing:
        {in_the_fork}
    from phantomlink.recordings.synthetic import draw_recording
    return draw_recording(units=2, trials=1)

synthetic_child._draw_here = draw
{before}
sys.exit(synthetic_child.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("in_the_fork", "before"),
    [("os.kill(os.getpid(), 9)", ""), ("raise OSError", ""), ("pass", "del os.fork")],
)
def test_a_child_whose_fork_draws_nothing_draws_itself(tmp_path, in_the_fork, before):
    out = tmp_path / "child.nwb"
    program = WITHOUT_ITS_FORK.format(in_the_fork=in_the_fork, before=before)
    ended = subprocess.run(
        [sys.executable, "-c", program, out], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    with h5py.File(out) as file:
        assert len(file["units/id"]) == 2


INTERRUPTED = """
import signal, sys
from phantomlink.cli import synthetic_child

synthetic_child._begin_to_draw = lambda: lambda **_: signal.raise_signal(signal.SIGINT)
sys.exit(synthetic_child.main(sys.argv[1:]))
"""


def test_an_interrupted_child_says_nothing_and_leaves_nothing(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, tmp_path / "child.nwb"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
    assert list(tmp_path.iterdir()) == []
