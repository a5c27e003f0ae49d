"""Imports point one way: the contracts of pyproject.toml hold, and would notice if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = (
    "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
)


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_contracts_are_kept() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "phantomlink", tmp_path / "phantomlink", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_contract_notices_what_it_forbids(copied: Path) -> None:
    package = copied / "phantomlink"
    for module, line in (
        ("wire/packet.py", "import phantomlink.engine.session"),
        ("watch/client.py", "from phantomlink.wire.encoder import WireFormat"),
        ("recordings/bins.py", "def f():\n    import trio"),
        ("engine/session.py", "from quart import Quart"),
        ("service/service.py", "def f():\n    import phantomlink.recordings.synthetic"),
        ("rest/views.py", "import h5py"),
        ("client/gaps.py", "import phantomlink.close_codes"),
    ):
        with (package / module).open("a") as file:
            file.write(f"\n{line}\n")
    done = lint(copied)
    assert done.returncode == 1
    verdicts = [line for line in done.stdout.splitlines() if line.endswith((" KEPT", " BROKEN"))]
    assert len(verdicts) == 7
    assert [line for line in verdicts if line.endswith(" KEPT")] == []


def test_a_module_without_a_layer_is_noticed(copied: Path) -> None:
    (copied / "phantomlink/stray.py").touch()
    done = lint(copied)
    assert done.returncode == 1
    assert "stray" in done.stdout
