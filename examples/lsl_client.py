"""Receive a session over the Lab Streaming Layer: counts with kinematics, and markers.

pip install pylsl
python lsl_client.py --url http://127.0.0.1:8000 --code my-rig --samples 80
"""

import argparse
import urllib.request

import pylsl

TIMEOUT_SECONDS = 10.0


def open_inlet(kind, code):
    """The stream of this kind of a session, by its source id, which a restart does not change."""
    found = pylsl.resolve_byprop("source_id", f"phantomlink-{kind}-{code}", timeout=TIMEOUT_SECONDS)
    if not found:
        raise SystemExit(f"no {kind} stream of {code}: does the server run on this machine?")
    inlet = pylsl.StreamInlet(found[0], max_buflen=5)
    inlet.open_stream(timeout=TIMEOUT_SECONDS)
    return inlet


def main():
    parser = argparse.ArgumentParser(description="Receive a session over LSL.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server")
    parser.add_argument("--code", default="my-rig", help="session; it is created when it is new")
    parser.add_argument("--samples", type=int, default=80, help="how many to receive")
    args = parser.parse_args()

    # A session has to exist before its streams can be found.
    create = f"{args.url}/api/sessions/create?custom_code={args.code}"
    urllib.request.urlopen(create, data=b"").close()
    neural, kinematics, markers = (
        open_inlet(kind, args.code) for kind in ("neural", "kinematics", "markers")
    )
    labels = neural.info().get_channel_labels()
    print(f"{neural.info().name()}: {len(labels)} units at {neural.info().nominal_srate():g} Hz")

    # Counts and kinematics of a packet have the same timestamp: what is missing waits for it.
    movement = {}
    received = paired = 0
    while received < args.samples:
        counts, timestamp = neural.pull_sample(timeout=TIMEOUT_SECONDS)
        if counts is None:
            raise SystemExit("nothing came: is the session paused?")
        received += 1
        values, times = kinematics.pull_chunk(timeout=0.1)
        movement.update(zip(times, values, strict=True))
        vx, vy, _, _ = movement.pop(timestamp, (None, None, None, None))
        paired += vx is not None
        if received % 20 == 1:
            print(f"{timestamp:.3f}  {sum(counts):3d} spikes  velocity {vx}, {vy}")
        for marker, at in zip(*markers.pull_chunk(timeout=0.0), strict=True):
            print(f"{at:.3f}  {marker[0]}")
    print(f"received {received} samples, {paired} with kinematics")


if __name__ == "__main__":
    main()
