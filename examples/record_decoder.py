"""Record a decoder's session, verify the record, and plot where the decoder was late.

    pip install 'phantomlink[client,plot]'
    python record_decoder.py

The decoder here is a bad one: it says how fast the hand is by the number of spikes, and every 40th
answer takes it 60 ms. Put your own in its place. The capture is verified without the server, by the
recording that was played; without --recording it is looked for in the data directory, and the
synthetic one where it is kept.
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import matplotlib
import numpy as np

from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.records import Answer, Sent
from phantomlink.client import connect

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def call(url, method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url + path, data, {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def decode(packet, n):
    if n % 40 == 39:
        time.sleep(0.06)
    return float(packet.counts.mean()), 0.0


def record(url, n_packets, out):
    """Let the decoder answer, captured; save the journal."""
    with connect(url, session="recorded") as stream:
        capture = call(url, "POST", "/api/captures", {"session": "recorded"})
        for n, packet in enumerate(stream):
            vx, vy = decode(packet, n)
            stream.predict(packet, vx, vy, decoder="speed")
            if n == n_packets:
                break
    ended = call(url, "POST", f"/api/captures/{capture['id']}/stop")
    file = f"/api/captures/{capture['id']}/file?format=journal"
    urllib.request.urlretrieve(url + file, out)
    print(f"captured {ended['packets']} packets: {ended['state']}")


def lateness_ms(journal):
    """When packets left (s from the first) and how long the decoder took for each (ms)."""
    left_ns, took = {}, {}
    for each in journal.records():
        if isinstance(each, Sent) and each.left_at_ns is not None:
            left_ns[each.packet.sequence_number] = each.left_at_ns
        elif isinstance(each, Answer) and each.sequence_number in left_ns:
            arrived_ns = journal.header.unix_ns(each.arrived_ns)
            took[each.sequence_number] = (arrived_ns - left_ns[each.sequence_number]) / 1e6
    numbers = sorted(took)
    seconds = np.array([left_ns[n] - left_ns[numbers[0]] for n in numbers]) / 1e9
    return seconds, np.array([took[n] for n in numbers])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--packets", type=int, default=400)
    parser.add_argument("--recording", type=Path, help="that the server plays")
    parser.add_argument("--out", type=Path, default=Path("recorded.plj"))
    arguments = parser.parse_args()

    record(arguments.url, arguments.packets, arguments.out)
    verify = [sys.executable, "-m", "phantomlink", "verify", str(arguments.out)]
    if arguments.recording is not None:
        verify += ["--source", str(arguments.recording)]
    subprocess.run(verify, check=True)

    journal = Journal(arguments.out)
    seconds, took_ms = lateness_ms(journal)
    bin_ms = float(1000 / journal.header.rate_hz)
    late = took_ms > bin_ms
    print(f"answered {len(took_ms)} packets, {late.sum()} later than the next one left")
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    axes.plot(seconds, took_ms, ".", color="#888")
    axes.plot(seconds[late], took_ms[late], "x", color="#c22", label="late")
    axes.axhline(bin_ms, color="#c22", lw=0.8)
    axes.set(xlabel="s", ylabel="packet to prediction, ms", ylim=(0, None))
    axes.legend(loc="upper right")
    picture = arguments.out.with_suffix(".png")
    figure.savefig(picture, dpi=100)
    print(f"saved {picture}")


if __name__ == "__main__":
    main()
