"""Measure the forms of packets on real ones: bytes, encoding, decoding.

    python tools/compare_formats.py                    # on a synthetic recording, made for it
    python tools/compare_formats.py data/mc_maze.nwb --json

Encoding is the server's own (phantomlink.wire.encoder). Reading is measured three times: the
message alone (msgpack.unpackb, json.loads), the message with its counts as an int32 array, as a
program without a library reads it (docs/reference/messages.md), and a packet of
phantomlink.client. Every form says the same of every packet, which is looked at first. The forms
take turns in every round of one run, so that a busy machine slows all; what counts are the ratios
to MessagePack, the median over the rounds.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phantomlink.client import packet as client
from phantomlink.engine.assembler import PacketAssembler
from phantomlink.recordings.bins import Bins
from phantomlink.wire.encoder import Frame, PacketEncoder, WireFormat, packet_encoder
from phantomlink.wire.packet import Packet, StreamHeader
from tools.bench.harness.offline import opened_bins, read_arguments
from tools.bench.harness.text import table

Times = dict[WireFormat, list[float]]


UNPACK: dict[WireFormat, Callable[[bytes], Any]] = {
    WireFormat.MSGPACK: msgpack.unpackb,
    WireFormat.JSON: json.loads,
    WireFormat.COMPACT: msgpack.unpackb,
}


def with_array(form: WireFormat, payload: bytes) -> Any:
    """A message with its counts as an array, the same whatever the form."""
    message = UNPACK[form](payload)
    spikes = message["data"]["spikes"]
    if form is WireFormat.COMPACT:
        counts = np.frombuffer(spikes["counts"], spikes["dtype"]).astype(np.int32)
    else:
        counts = np.array(spikes["spike_counts"], np.int32)
    spikes["counts"] = counts
    return message


def client_packet(form: WireFormat, payload: bytes) -> client.Packet:
    """A packet as the client library gives it."""
    _, message = client.decode(payload.decode() if form is WireFormat.JSON else payload)
    return client.read_packet(message, received_at=0.0, is_next_bin=True, lost_before=0)


def main() -> None:
    arguments = read_arguments(__doc__, "--packets", 400, "in a round")
    with opened_bins(arguments.recording) as bins:
        packets, header = read_packets(bins, arguments.packets)
    result = measure(packets, header, arguments.rounds)
    print(json.dumps(result) if arguments.json else as_text(result))


def read_packets(bins: Bins, n_packets: int) -> tuple[list[Packet], StreamHeader]:
    """The first packets of a recording; a short one from its beginning again."""
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
    work: dict[str, dict[WireFormat, Callable[[Any], object]]] = {
        "encode": dict(encode),
        "unpack": dict(UNPACK),
        "decode": {form: partial(with_array, form) for form in WireFormat},
        "client": {form: partial(client_packet, form) for form in WireFormat},
    }
    times: dict[str, Times] = {name: {form: [] for form in WireFormat} for name in work}
    gc.disable()
    for round_number in range(rounds):
        # Whoever comes second finds warm caches: take turns in that too.
        order = list(WireFormat) if round_number % 2 else list(reversed(WireFormat))
        for name, of_form in work.items():
            for form in order:
                items = packets if name == "encode" else payloads[form]
                times[name][form].append(us_each(of_form[form], items))
    gc.enable()
    n_bytes = {form: statistics.fmean(map(len, payloads[form])) for form in WireFormat}
    result: dict[str, Any] = {"packets": len(packets), "channels": header.n_channels}
    result["rounds"] = rounds
    for form in WireFormat:
        result[form.value] = {"bytes": round(n_bytes[form], 1)} | {
            f"{name}_us": round(statistics.median(of[form]), 2) for name, of in times.items()
        }
        if form is not WireFormat.MSGPACK:
            result[f"{form.value}_to_msgpack"] = {
                "bytes": round(n_bytes[form] / n_bytes[WireFormat.MSGPACK], 3)
            } | {name: median_ratio(of, form) for name, of in times.items()}
    return result


def check_equal(payloads: dict[WireFormat, list[bytes]]) -> None:
    """See that every form says the same of every packet, and the client of every form."""
    for raw in zip(*(payloads[form] for form in WireFormat), strict=True):
        said = []
        for form, payload in zip(WireFormat, raw, strict=True):
            data = with_array(form, payload)["data"]
            counts = data["spikes"]["counts"].tolist()
            assert client_packet(form, payload).counts.tolist() == counts
            said.append((data | {"spikes": counts}, data["spikes"]["bin_size_ms"]))
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
            ("unpacking, us", "unpack_us", "unpack"),
            ("with an array, us", "decode_us", "decode"),
            ("client's packet, us", "client_us", "client"),
        )
    ]
    about = (
        f"{result['packets']} packets of {result['channels']} channels, {result['rounds']} rounds"
    )
    return f"{about}\n\n{table(['', *columns], rows)}"


if __name__ == "__main__":
    main()
