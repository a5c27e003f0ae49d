"""A process with the four outlets of a session, as the contract has them, made with pylsl alone.

Run as `python -m tests.lsl_rig CONFIG`, CONFIG as JSON: see `DEFAULTS`. It says `ready` when the
outlets are there, pushes while an inlet of the neural stream is connected, and ends when its
stdin does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager

DEFAULTS = {
    "code": "rig",
    "prefix": "phantomlink",
    "channels": 5,
    "rate_hz": 40,
    "kinds": ["neural", "kinematics", "intention", "markers"],
    # Numbers of samples that are not pushed: by nobody, or not by the neural outlet alone.
    "drop": [],
    "drop_neural": [],
    # After so many samples: rest for so many periods, or end.
    "rest_after": None,
    "rest_periods": 0.0,
    "end_after": None,
    "described": True,
    "count": 1,
}
FORMATS = {"neural": "int32", "kinematics": "float32", "intention": "float32", "markers": "string"}
LABELS = {
    "kinematics": ["vx", "vy", "x", "y"],
    "intention": ["target_id", "target_x", "target_y", "trial_id"],
}
UNITS = {"kinematics": ["mm/s", "mm/s", "mm", "mm"], "intention": ["index", "mm", "mm", "index"]}


@contextmanager
def rig(env, **config):
    """A rig that runs until left."""
    import os  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lsl_rig", json.dumps(config)],
        env=os.environ | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.stdin.close()
        process.stdout.close()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait()


def outlet(pylsl, config, kind):
    n = config["channels"] if kind == "neural" else 1 if kind == "markers" else 4
    kind_type = {"neural": "EEG"}.get(kind, kind.title())
    info = pylsl.StreamInfo(
        f"PhantomLink-{kind.title()}-{config['code']}",
        kind_type,
        n,
        0 if kind == "markers" else config["rate_hz"],
        getattr(pylsl, f"cf_{FORMATS[kind]}"),
        f"{config['prefix']}-{kind}-{config['code']}",
    )
    desc = info.desc()
    desc.append_child_value("manufacturer", "a rig for tests")
    desc.append_child("recording").append_child_value("name", "made-up")
    if config["described"] and kind != "markers":
        channels = desc.append_child("channels")
        labels = LABELS.get(kind) or [str(101 + i) for i in range(n)]
        units = UNITS.get(kind) or ["count"] * n
        for label, unit in zip(labels, units, strict=True):
            channel = channels.append_child("channel")
            channel.append_child_value("label", label)
            channel.append_child_value("unit", unit)
            channel.append_child_value("type", kind_type)
    return pylsl.StreamOutlet(info, max_buffered=5)


def play(pylsl, config, outlets):
    """Push sample n at start + n periods, with that as its timestamp."""
    period, rested = 1 / config["rate_hz"], 0.0
    outlets["neural"].wait_for_consumers(60)
    # The other streams are opened right after.
    time.sleep(0.3)
    start = pylsl.local_clock()
    n = 0
    while config["end_after"] is None or n < config["end_after"]:
        if n == config["rest_after"]:
            rested = config["rest_periods"] * period
        stamp = start + n * period + rested
        time.sleep(max(stamp - pylsl.local_clock(), 0))
        for kind, one in outlets.items():
            if n in config["drop"] or (kind == "neural" and n in config["drop_neural"]):
                continue
            if kind == "neural":
                one.push_sample([n, *[n % 3] * (config["channels"] - 1)], stamp)
            elif kind == "markers":
                if n % 20 == 0:
                    one.push_sample([f"trial_start {n}"], stamp)
            else:
                one.push_sample([float(n)] * 4, stamp)
        n += 1


def main():
    config = DEFAULTS | json.loads(sys.argv[1])
    import pylsl  # noqa: PLC0415

    outlets = {kind: outlet(pylsl, config, kind) for kind in config["kinds"]}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if "neural" in outlets:
        player = threading.Thread(target=play, args=(pylsl, config, outlets), daemon=True)
        player.start()
        while player.is_alive() and config["end_after"] is not None:
            player.join(0.05)
    if config["end_after"] is None:
        sys.stdin.read()


if __name__ == "__main__":
    main()
