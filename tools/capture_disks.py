"""Capture to disks that fail: nobody's packet is late or lost, and no file lies.

    sudo python tools/capture_disks.py     # full, read-only, removed, standing still for 2 s

It mounts file systems of its own and needs root. It prints one line for each disk with how late
packets left, by their stamps, and ends with an AssertionError where something did not hold.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from phantomlink.captures.command import verify_file
from phantomlink.client import ClientError, connect
from phantomlink.client.rest import Rest
from tests.servers import LiveServer
from tools.capture_proof import CAPTURES, CODE, read, rest_of, serving, synthesized


def main() -> int:
    """Try each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="a disk stands still")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        disks(Path(folder), seconds)
    return 0


def disks(folder: Path, seconds: float) -> None:
    """Captures on disks that fail, one after the other."""
    source = synthesized(folder, 60)
    with file_system(folder / "small", "-t", "tmpfs", "-o", "size=3m", "tmpfs") as small:
        fill(source, small / "captures")
    with file_system(folder / "fixed", "-t", "tmpfs", "-o", "ro", "tmpfs") as fixed:
        refuse(source, fixed / "captures")
    remove(source, folder / "removed")
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    run("mkfs.ext4", "-q", str(image))
    with file_system(folder / "frozen", "-o", "loop", str(image)) as frozen:
        stall(source, frozen, seconds)


def fill(source: Path, captures: Path) -> None:
    """A full disk: the capture is torn and says why."""
    with serving(source, captures) as server, watching(server, speed=10) as heard:
        rest = rest_of(server)
        capture_id = begin(rest)
        while is_running(rest, capture_id):
            heard.some_more()
        heard.some_more()
        found = read(rest, capture_id)
    assert found["state"] == "torn", found
    check_none_lies(captures, source)
    print(f"full disk: {found['packets']} packets kept, torn: {found['reason']}; {heard}")


def refuse(source: Path, captures: Path) -> None:
    """A read-only folder: no capture begins, and the answer says why."""
    with serving(source, captures) as server, watching(server) as heard:
        try:
            begin(rest_of(server))
        except ClientError as error:
            said = str(error)
        else:
            raise AssertionError("a capture began in a read-only folder")
        heard.some_more()
    assert str(captures) in said, said
    print(f"read-only folder: {said}; {heard}")


def remove(source: Path, captures: Path) -> None:
    """A folder that is removed meanwhile: the capture is torn and says why."""
    with serving(source, captures) as server, watching(server) as heard:
        rest = rest_of(server)
        capture_id = begin(rest)
        heard.some_more()
        shutil.rmtree(captures)
        while is_running(rest, capture_id):
            heard.some_more()
        found = rest.call("GET", f"{CAPTURES}/{capture_id}")
    assert found["state"] == "torn", found
    print(f"removed folder: torn: {found['reason']}; {heard}")


def stall(source: Path, frozen: Path, seconds: float) -> None:
    """A disk that stands still: what the capture misses is said, and the others notice nothing."""
    captures = frozen / "captures"
    with serving(source, captures) as server, watching(server) as heard:
        rest = rest_of(server)
        capture_id = begin(rest)
        for _ in range(5):
            heard.some_more(seconds)
            run("fsfreeze", "--freeze", str(frozen))
            try:
                heard.some_more(seconds, "frozen")
            finally:
                run("fsfreeze", "--unfreeze", str(frozen))
        heard.some_more(seconds)
        rest.call("POST", f"{CAPTURES}/{capture_id}/stop")
        found = read(rest, capture_id)
    assert found["packets"] + found["lost_packets"] >= heard.n_packets - 40 * 4, found
    assert (found["state"] == "complete") == (found["lost_packets"] == 0), found
    check_none_lies(captures, source)
    print(
        f"disk that stands still for {seconds:g} s, 5 times: {found['state']}, "
        f"{found['packets']} packets kept, {found['lost_packets']} missing; {heard}"
    )


def check_none_lies(captures: Path, source: Path) -> None:
    """Every file of the folder is equal in what it has; a journal says when it is not whole."""
    for path in [*captures.glob("*.plj"), *captures.glob("*.nwb")]:
        verified = verify_file(path, source)
        assert verified.is_equal, (path, verified.found.differences)
        # One that a full disk has cut off has no end.
        assert verified.state != "complete" or not verified.found.gaps, path


class Heard:
    """What a client of the session hears meanwhile.

    Args:
        packets: as they come.
        period: between two of them, s.

    Attributes:
        n_packets: that it was sent.
    """

    def __init__(self, packets: Iterator[Any], period: float) -> None:
        self._packets = packets
        self._period = period
        self._late: dict[str, list[float]] = {}
        self.n_packets = 0
        self._number: int | None = None

    def some_more(self, seconds: float = 2.0, when: str = "else") -> None:
        """Hear the packets of so long."""
        for _ in range(round(seconds / self._period)):
            packet = next(self._packets)
            number = packet.sequence_number
            assert self._number in (None, number - 1), f"{self._number}, then {number}"
            self._number = number
            self.n_packets += 1
            self._late.setdefault(when, []).append(packet.timestamp - number * self._period)

    def __str__(self) -> str:
        first = min(min(each) for each in self._late.values())
        told = [
            f"{when}: p99 {np.quantile(each, 0.99) - first:.4f} s, max {max(each) - first:.4f} s"
            for when, each in sorted(self._late.items())
        ]
        return f"{self.n_packets} packets heard, none missing, late by " + ", ".join(told)


@contextmanager
def watching(server: LiveServer, speed: int = 1) -> Iterator[Heard]:
    """Listen to the session."""
    rest = rest_of(server)
    rest.call("POST", "/api/sessions/create", {"custom_code": CODE, "speed": speed})
    with connect(server.http, session=CODE) as stream:
        yield Heard(iter(stream), 1 / (40 * speed))


@contextmanager
def file_system(folder: Path, *options: str) -> Iterator[Path]:
    """A file system of its own, mounted."""
    folder.mkdir()
    run("mount", *options, str(folder))
    try:
        yield folder
    finally:
        run("umount", str(folder))


def run(*command: str) -> None:
    """A command that must not fail."""
    subprocess.run(command, check=True)


def begin(rest: Rest) -> str:
    """Begin to capture the session."""
    return str(rest.call("POST", CAPTURES, {"session": CODE})["id"])


def is_running(rest: Rest, capture_id: str) -> bool:
    """Whether a capture takes more."""
    return bool(rest.call("GET", f"{CAPTURES}/{capture_id}")["state"] == "running")


if __name__ == "__main__":
    sys.exit(main())
