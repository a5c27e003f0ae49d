"""Measure the forms of packets on real ones: bytes, encoding, decoding.

    python tools/compare_formats.py                    # on a synthetic recording, made for it
    python tools/compare_formats.py data/mc_maze.nwb --json

Encoding is the server's own (phantomlink.wire.encoder), decoding what a Python client does:
msgpack.unpackb and json.loads, and numpy.frombuffer for the counts of compact packets. Every form
says the same of every packet, which is looked at first. The forms take turns in every round of one
run, so that a busy machine slows all; what counts are the ratios to MessagePack, the median over
the rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize
from phantomlink.wire.encoder import Frame, PacketEncoder, WireFormat, packet_encoder
from phantomlink.wire.packet import Packet, StreamHeader
from tools.bench.harness.text import table

Times = dict[WireFormat, list[float]]


def from_compact(payload: bytes) -> Any:
    """A compact packet with its counts as an array."""
    message = msgpack.unpackb(payload)
    spikes = message["data"]["spikes"]
    spikes["counts"] = np.frombuffer(spikes["counts"], spikes["dtype"])
    return message


DECODE: dict[WireFormat, Callable[[bytes], Any]] = {
    WireFormat.MSGPACK: msgpack.unpackb,
    WireFormat.JSON: json.loads,
    WireFormat.COMPACT: from_compact,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", nargs="?", type=Path, help="default: a synthetic one")
    parser.add_argument("--packets", type=int, default=400, help="in a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=21, help="(%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    if arguments.packets < 1 or arguments.rounds < 1:
        parser.error("--packets and --rounds take whole numbers from 1")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.recording
        if path is None:
            path = Path(folder) / "synthetic.nwb"
            synthesize(path, trials=12)
        packets, header = read_packets(path, arguments.packets)
    result = measure(packets, header, arguments.rounds)
    print(json.dumps(result) if arguments.json else as_text(result))


def read_packets(path: Path, n_packets: int) -> tuple[list[Packet], StreamHeader]:
    """The first packets of a recording; a short one from its beginning again."""
    with open_recording(path) as recording:
        bins = recording.at_rate(Fraction(40))
        assembler = PacketAssembler(bins)
        rows = assembler.rows(bins.read(0, min(n_packets, bins.grid.n_bins)))
        n = len(rows)
        packets = [assembler.packet(rows, i % n, i, i // n) for i in range(n_packets)]
        return packets, StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)


def measure(packets: list[Packet], header: StreamHeader, rounds: int) -> dict[str, Any]:
    """Bytes and us a packet of each form, and the ratios to MessagePack."""
    encoders = {form: packet_encoder(form, header) for form in WireFormat}
    encode = {form: partial(encode_stamped, encoders[form]) for form in WireFormat}
    payloads = {form: [encode[form](p).payload for p in packets] for form in WireFormat}
    check_equal(payloads)
    encode_us: Times = {form: [] for form in WireFormat}
    decode_us: Times = {form: [] for form in WireFormat}
    gc.disable()
    for round_number in range(rounds):
        # Whoever comes second finds warm caches: take turns in that too.
        order = list(WireFormat) if round_number % 2 else list(reversed(WireFormat))
        for form in order:
            encode_us[form].append(us_each(encode[form], packets))
        for form in order:
            decode_us[form].append(us_each(DECODE[form], payloads[form]))
    gc.enable()
    n_bytes = {form: statistics.fmean(map(len, payloads[form])) for form in WireFormat}
    result: dict[str, Any] = {"packets": len(packets), "channels": header.n_channels}
    result["rounds"] = rounds
    for form in WireFormat:
        result[form.value] = {
            "bytes": round(n_bytes[form], 1),
            "encode_us": round(statistics.median(encode_us[form]), 2),
            "decode_us": round(statistics.median(decode_us[form]), 2),
        }
        if form is not WireFormat.MSGPACK:
            result[f"{form.value}_to_msgpack"] = {
                "bytes": round(n_bytes[form] / n_bytes[WireFormat.MSGPACK], 3),
                "encode": median_ratio(encode_us, form),
                "decode": median_ratio(decode_us, form),
            }
    return result


def check_equal(payloads: dict[WireFormat, list[bytes]]) -> None:
    """See that every form says the same of every packet."""
    for raw in zip(*(payloads[form] for form in WireFormat), strict=True):
        said = []
        for form, payload in zip(WireFormat, raw, strict=True):
            data = DECODE[form](payload)["data"]
            spikes = data.pop("spikes")
            counts = spikes["counts" if form is WireFormat.COMPACT else "spike_counts"]
            said.append((data, np.asarray(counts).tolist(), spikes["bin_size_ms"]))
        assert said.count(said[0]) == len(said), f"the forms differ: {said}"


def encode_stamped(encoder: PacketEncoder, packet: Packet) -> Frame:
    """A frame as it leaves: the timestamp goes in last."""
    frame = encoder.encode(packet)
    frame.stamp(1767225600.025)
    return frame


def us_each(work: Callable[[Any], object], items: list[Any]) -> float:
    """Microseconds of `work` for one item, over all of them."""
    start_ns = time.perf_counter_ns()
    for item in items:
        work(item)
    return (time.perf_counter_ns() - start_ns) / 1e3 / len(items)


def median_ratio(times: Times, form: WireFormat) -> float:
    """Its time to MessagePack's, round by round."""
    pairs = zip(times[form], times[WireFormat.MSGPACK], strict=True)
    return round(statistics.median(mine / msgpacks for mine, msgpacks in pairs), 3)


def as_text(result: dict[str, Any]) -> str:
    """A table for people."""
    columns = [form.value for form in WireFormat]
    columns += [name for name in result if name.endswith("_to_msgpack")]
    rows = [
        [label, *(str(result[c].get(key, result[c].get(ratio))) for c in columns)]
        for label, key, ratio in (
            ("bytes a packet", "bytes", "bytes"),
            ("encoding, us", "encode_us", "encode"),
            ("decoding, us", "decode_us", "decode"),
        )
    ]
    about = (
        f"{result['packets']} packets of {result['channels']} channels, {result['rounds']} rounds"
    )
    return f"{about}\n\n{table(['', *columns], rows)}"


if __name__ == "__main__":
    main()
