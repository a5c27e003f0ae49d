"""Process: what people write with pylsl when they replay data: push a sample at each deadline."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import count

import msgpack

from ..harness.children import Message, end_with_parent, tell

# Asked once a second or so: the outlet does not tell when an inlet leaves.
_LOOK_SECONDS = 1.0


def play(outlet, samples, rate_hz: Fraction, local_clock) -> None:  # type: ignore[no-untyped-def]
    """Push until nobody listens. The first channel carries the number of the sample."""
    period = float(1 / rate_hz)
    look = max(int(_LOOK_SECONDS * rate_hz), 1)
    start = local_clock()
    for n in count():
        sample = samples[n % len(samples)]
        sample[0] = n
        time.sleep(max(start + n * period - local_clock(), 0))
        outlet.push_sample(sample, local_clock())
        if n % look == 0 and not outlet.have_consumers():
            return


def run(config: Message) -> None:
    """Tell the outlet's source id, then serve one inlet after another."""
    import pylsl  # noqa: PLC0415  # without liblsl its import fails, which the parent is told

    end_with_parent()
    samples = [
        list(msgpack.unpackb(payload)["data"]["spikes"]["spike_counts"])
        for payload in config["packets"]
    ]
    rate_hz = Fraction(config["rate_hz"])
    info = pylsl.StreamInfo(
        "jitter", "EEG", len(samples[0]), float(rate_hz), pylsl.cf_int32, config["source_id"]
    )
    outlet = pylsl.StreamOutlet(info, max_buffered=5)
    tell({"source_id": config["source_id"]})
    while True:
        if outlet.wait_for_consumers(_LOOK_SECONDS):
            play(outlet, samples, rate_hz, pylsl.local_clock)
