"""All streams are found by clients that nobody has configured, with and without a network."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from phantomlink.recordings.synthetic.named import synthesize_named
from tests.lsl_namespace import KINDS, N_PACKETS


def sources(*codes):
    return sorted(f"phantomlink-{kind}-{code}" for code in codes for kind in KINDS)


def may_have_namespaces():
    """Whether this user may have a network of its own."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.call([unshare, "-rn", "true"]) == 0


@pytest.mark.skipif(not may_have_namespaces(), reason="no network namespaces for this user")
@pytest.mark.parametrize("n_interfaces", [1, 2])
def test_every_client_finds_every_stream(tmp_path, n_interfaces):
    recording = tmp_path / "named.nwb"
    synthesize_named(recording, units=10, seconds=30)
    ran = subprocess.run(
        [
            *("unshare", "-rn", sys.executable, "-m", "tests.lsl_namespace"),
            *(str(recording), str(n_interfaces)),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.splitlines()[-1])
    foreign = ["phantomlink-neural-foreign"]
    assert said["alone"] == sorted(foreign + sources("one", "one-2"))
    assert said["both"] == sorted(foreign + sources("one", "one-2", "other", "other-2"))
    # Another machine sees what it saw without us, and nothing of ours.
    assert said["from outside"] == (foreign if n_interfaces > 1 else None)
    samples = said["recorded"]
    markers = [source for source in samples if "-markers-" in source]
    assert len(markers) == 2
    # Of the trial that the packets are of.
    assert all(samples.pop(source) > 0 for source in markers)
    assert samples == {
        f"phantomlink-{kind}-{code}": N_PACKETS for code in ("one", "one-2") for kind in KINDS[:3]
    }
