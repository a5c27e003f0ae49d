"""A process with pylsl inlets, and nothing of ours: receives until it is told to end.

Run as `python -m tests.lsl_inlet SOURCE_ID...`. It says `connected` when it is, ends when its
stdin does, and says as JSON what came.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Stream:
    """What one inlet got."""

    labels: list
    units: list
    types: list
    xml: str
    values: list
    stamps: list


class Inlets:
    """A process that receives; `streams` are there, by source id, after the block."""

    def __init__(self, process):
        self.process = process
        self.streams = {}

    def finish(self):
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, err
        self.streams = {name: Stream(**got) for name, got in json.loads(out).items()}


@contextmanager
def inlets(env, *source_ids, finish=True):
    """Inlets that are connected, in a process of their own, until left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lsl_inlet", *source_ids],
        env=os.environ | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    it = Inlets(process)
    try:
        line = process.stdout.readline()
        assert line == "connected\n", process.communicate(timeout=30)
        yield it
        if finish:
            it.finish()
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def main():
    # Its parent, which imports this too, must not load liblsl.
    import pylsl  # noqa: PLC0415

    connected = {}
    for source_id in sys.argv[1:]:
        found = pylsl.resolve_byprop("source_id", source_id, 1, 20)
        assert found, f"no stream {source_id}"
        connected[source_id] = pylsl.StreamInlet(found[0], max_buflen=60)
    described = {}
    for source_id, inlet in connected.items():
        info = inlet.info(10)
        described[source_id] = {
            "labels": info.get_channel_labels(),
            "units": info.get_channel_units(),
            "types": info.get_channel_types(),
            "xml": info.as_xml(),
            "values": [],
            "stamps": [],
        }
    for inlet in connected.values():
        inlet.open_stream(10)
    print("connected", flush=True)  # noqa: T201
    told = queue.Queue()
    threading.Thread(target=lambda: told.put(sys.stdin.read()), daemon=True).start()
    last_look = False
    while True:
        for source_id, inlet in connected.items():
            # What the server has pushed already may still be on its way to a busy machine's inlet.
            values, stamps = inlet.pull_chunk(0.25 if last_look else 0.0, 4096)
            described[source_id]["values"] += values
            described[source_id]["stamps"] += stamps
        if last_look:
            break
        last_look = not told.empty()
        time.sleep(0.01)
    json.dump(described, sys.stdout)


if __name__ == "__main__":
    main()
