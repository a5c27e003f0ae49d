"""The command as a person runs it: a process that is started, and what it said when it ended."""

from __future__ import annotations

import os
import subprocess
import sys

_SECONDS = 40


def start(*arguments, env=None):
    """`phantomlink` with these arguments; `env` is put over this process's environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "phantomlink", *arguments],
        env=os.environ | dict(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """(exit code, stdout, stderr) of a process, which ends without a traceback."""
    out, err = process.communicate(timeout=_SECONDS)
    assert "Traceback" not in err, err
    return process.returncode, out, err
