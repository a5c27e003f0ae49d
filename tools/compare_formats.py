"""Measure MessagePack against JSON on real packets: bytes, encoding, decoding.

    python tools/compare_formats.py                    # on a synthetic recording, made for it
    python tools/compare_formats.py data/mc_maze.nwb --json

Encoding is the server's own (phantomlink.wire.encoder), decoding what a Python client does:
msgpack.unpackb and json.loads. Both forms take turns in every round of one run, so that a busy
machine slows both; what counts is the ratio, the median over the rounds of JSON's time to
MessagePack's.
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

from phantomlink.engine.assembler import PacketAssembler
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize
from phantomlink.wire.encoder import Frame, PacketEncoder, WireFormat, packet_encoder
from phantomlink.wire.packet import Packet, StreamHeader

DECODE: dict[WireFormat, Callable[[bytes], Any]] = {
    WireFormat.MSGPACK: msgpack.unpackb,
    WireFormat.JSON: json.loads,
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
    sys.stdout.write(json.dumps(result) + "\n" if arguments.json else table(result))


def read_packets(path: Path, n_packets: int) -> tuple[list[Packet], StreamHeader]:
    """The first packets of a recording; a short one from its beginning again."""
    with open_recording(path) as recording:
        bins = recording.at_rate(Fraction(40))
        assembler = PacketAssembler(bins)
        block = bins.read(0, min(n_packets, bins.grid.n_bins))
        rows = len(block.counts)
        packets = [assembler.packet(block, i % rows, i, i // rows) for i in range(n_packets)]
        return packets, StreamHeader(len(bins.unit_ids), bins.grid.bin_size_ms)


def measure(packets: list[Packet], header: StreamHeader, rounds: int) -> dict[str, Any]:
    """Bytes and us a packet of both forms, and the ratios of JSON to MessagePack."""
    encoders = {form: packet_encoder(form, header) for form in WireFormat}
    encode = {form: partial(encode_stamped, encoders[form]) for form in WireFormat}
    payloads = {form: [encode[form](p).payload for p in packets] for form in WireFormat}
    for form in WireFormat:
        # What is compared must say the same.
        assert DECODE[form](payloads[form][0])["data"]["packet_id"] == packets[0].packet_id
    encode_us: dict[WireFormat, list[float]] = {form: [] for form in WireFormat}
    decode_us: dict[WireFormat, list[float]] = {form: [] for form in WireFormat}
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
    return {
        "packets": len(packets),
        "channels": header.n_channels,
        "rounds": rounds,
        **{
            form.value: {
                "bytes": round(n_bytes[form], 1),
                "encode_us": round(statistics.median(encode_us[form]), 2),
                "decode_us": round(statistics.median(decode_us[form]), 2),
            }
            for form in WireFormat
        },
        "json_to_msgpack": {
            "bytes": round(n_bytes[WireFormat.JSON] / n_bytes[WireFormat.MSGPACK], 3),
            "encode": median_ratio(encode_us),
            "decode": median_ratio(decode_us),
        },
    }


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


def median_ratio(times: dict[WireFormat, list[float]]) -> float:
    """JSON's time to MessagePack's, round by round."""
    pairs = zip(times[WireFormat.JSON], times[WireFormat.MSGPACK], strict=True)
    return round(statistics.median(slow / fast for slow, fast in pairs), 3)


def table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['packets']} packets of {result['channels']} channels, {result['rounds']} rounds",
        f"{'':20}{'MessagePack':>12}{'JSON':>10}{'ratio':>8}",
    ]
    for name, key, ratio in (
        ("bytes a packet", "bytes", "bytes"),
        ("encoding, us", "encode_us", "encode"),
        ("decoding, us", "decode_us", "decode"),
    ):
        lines.append(
            f"{name:20}{result['msgpack'][key]:12.1f}{result['json'][key]:10.1f}"
            f"{result['json_to_msgpack'][ratio]:8.2f}"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
