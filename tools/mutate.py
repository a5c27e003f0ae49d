"""Changes modules in small ways and tells which changes no test sees: `tox -e mutation [MODULE]`.

cosmic-ray changes files where they are, so all of it happens in a copy. A module takes minutes to
hours: each change is a run of its tests. The tests of a module are pure and start fast: they need
no plugin but pytest-trio, and most of them not the project's conftest.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLAYING = " ".join(
    f"tests/virtual/test_{name}.py"
    for name in ("session", "transport_faults", "step", "cpu_yield", "recording_recovery")
)
TESTS = {
    "phantomlink/access/rates.py": "tests/unit/test_rates.py",
    "phantomlink/scheduling/spin.py": "tests/unit/test_spin.py",
    "phantomlink/engine/timing.py": "tests/unit/test_timing.py",
    "phantomlink/engine/fanout.py": "tests/unit/test_fanout.py",
    "phantomlink/engine/builder.py": PLAYING,
    "phantomlink/engine/playback.py": PLAYING,
    "phantomlink/outputs/websocket/frame_stream.py": (
        "tests/unit/test_frame_queue.py tests/unit/test_frame_stream.py"
    ),
    "phantomlink/server/request_head.py": "tests/unit/test_request_head.py",
    "phantomlink/recordings/nwb/series.py": "tests/unit/test_series.py",
    "phantomlink/recordings/nwb/units.py": "tests/unit/test_series.py",
    "phantomlink/recordings/kinematics.py": "tests/unit/test_behaviour.py",
}
OPTIONS = (
    "-x -q -p no:cacheprovider -c /dev/null --rootdir . -p pytest_trio.plugin -o trio_mode=true"
)
CONFIGURATION = """
[cosmic-ray]
module-path = ["{module}"]
timeout = 120.0
excluded-modules = []
test-command = "{python} -m pytest {options} {tests}"

[cosmic-ray.distributor]
name = "local"
"""


def mutate(module: str, folder: Path) -> str:
    """Run the tests of a module against each change; the report has the survivors' differences."""
    for part in ("phantomlink", "tests"):
        shutil.copytree(ROOT / part, folder / part)
    session, configuration = folder / "session.sqlite", folder / "configuration.toml"
    configuration.write_text(
        CONFIGURATION.format(
            module=module,
            tests=TESTS[module],
            python=sys.executable,
            options=OPTIONS if "virtual" in TESTS[module] else f"{OPTIONS} --noconftest",
        )
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "CI": "true",  # so Hypothesis takes the same examples each time, without a deadline
    }
    for command in ("init", "baseline", "exec"):
        arguments = [str(configuration)] + [str(session)] * (command != "baseline")
        subprocess.run(["cosmic-ray", command, *arguments], cwd=folder, env=environment, check=True)
    done = subprocess.run(
        ["cr-report", "--surviving-only", "--show-diff", str(session)],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=list(TESTS), help=f"of {', '.join(TESTS)}")
    for module in parser.parse_args().modules:
        if module not in TESTS:
            parser.error(f"{module}: takes one of {', '.join(TESTS)}")
        with tempfile.TemporaryDirectory() as folder:
            print(module, mutate(module, Path(folder)), sep="\n")


if __name__ == "__main__":
    main()
