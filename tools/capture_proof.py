"""Try to make a capture lie: steer it, kill its server; then compare every packet.

    python tools/capture_proof.py steer --seconds 600     # preset extreme, faults, pauses, seeks
    python tools/capture_proof.py kill --times 50         # kill -9 at random moments

Each prints one line for what held, and ends with an AssertionError where something did not. Disks
that fail are tried by `capture_disks.py`; when packets left is compared by `capture_cost.py`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import h5py
import numpy as np
import pyxdf

from phantomlink.captures.command import Verified, verify_file
from phantomlink.captures.journal_reader import Journal
from phantomlink.captures.records import Answer, Sent
from phantomlink.client import ClientError, connect
from phantomlink.client.address import parse_address
from phantomlink.client.rest import Rest
from phantomlink.perturbation.presets import PRESETS
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize
from tests.servers import LiveServer, live_server

_FAULTS = [
    {"kind": "packet_loss", "probability": 0.02},
    {"kind": "packet_duplicate", "probability": 0.02},
    {"kind": "packet_reorder", "probability": 0.02},
    {"kind": "jitter", "std_ms": 2},
]
CODE = "proof"
CAPTURES = "/api/captures"


def main() -> int:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    steered = commands.add_parser("steer")
    steered.add_argument("--seconds", type=float, default=60.0)
    steered.add_argument("--seed", type=int, default=0)
    steered.set_defaults(run=lambda given, folder: steer(folder, given.seconds, given.seed))
    killed = commands.add_parser("kill")
    killed.add_argument("--times", type=int, default=10)
    killed.add_argument("--seed", type=int, default=0)
    killed.set_defaults(run=lambda given, folder: kill(folder, given.times, given.seed))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        arguments.run(arguments, Path(folder))
    return 0


def steer(folder: Path, seconds: float, seed: int) -> None:
    """Capture a session that is steered all the time, and compare its forms."""
    source = synthesized(folder, 60)
    with serving(source, folder / "captures") as server:
        rest = rest_of(server)
        transforms = [*PRESETS["extreme"].as_json()["transforms"], *_FAULTS]
        body = {"custom_code": CODE, "perturbation": {"transforms": transforms}, "seed": seed}
        rest.call("POST", "/api/sessions/create", body)
        with answering(server, "first"), answering(server, "second"):
            capture_id = rest.call("POST", CAPTURES, {"session": CODE})["id"]
            n_steps = _steer_for(rest, seconds, random.Random(seed))
            ended = rest.call("POST", f"{CAPTURES}/{capture_id}/stop")
        paths = {}
        for form, ending in (
            ("nwb", "nwb"),
            ("xdf", "xdf"),
            ("journal", "plj"),
            ("recipe", "json"),
        ):
            paths[form] = folder / f"capture.{ending}"
            download(rest, capture_id, form, paths[form])
    assert ended["state"] == "complete", ended
    records = list(Journal(paths["journal"]).records())
    answers = [each for each in records if isinstance(each, Answer)]
    assert {each.decoder for each in answers} == {"first", "second"}
    sent = sorted(
        (each for each in records if isinstance(each, Sent)),
        key=lambda each: each.packet.sequence_number,
    )
    compare_nwb(paths["nwb"], sent)
    compare_xdf(paths["xdf"], [each for each in records if isinstance(each, Sent)])
    for form in ("journal", "nwb", "recipe"):
        found = verify_file(paths[form], source)
        assert found.is_equal, (form, found.found.differences)
        assert found.found.packets == len(sent)
    compare_changed(paths["nwb"], source, sent)
    lost = sum(each.delivered == 0 for each in sent)
    print(
        f"steered {n_steps} times in {seconds:g} s: {len(sent)} packets, {lost} of them lost on "
        f"purpose, {len(answers)} answers: journal, NWB, XDF and recipe agree on every one"
    )


def compare_nwb(path: Path, sent: list[Sent]) -> None:
    """Played again, every count and value is the one that was sent."""
    with open_recording(path) as again:
        bins = again.at_rate(Fraction(40))
        n = min(len(sent), bins.grid.n_bins)
        block = bins.read(0, n)
    assert n >= len(sent) - 1
    for k, each in enumerate(sent[:n]):
        packet = each.packet
        assert np.array_equal(block.counts[k], packet.spike_counts), k
        values = np.array([packet.vx, packet.vy, packet.x, packet.y], np.float64)
        assert np.array_equal(block.kinematics[k], values, equal_nan=True), k


def compare_xdf(path: Path, sent: list[Sent]) -> None:
    """Each stream has what LSL would have sent, in the order in which it left."""
    loaded, _ = pyxdf.load_xdf(path, dejitter_timestamps=False)
    streams = {each["info"]["source_id"][0].split("-")[1]: each for each in loaded}
    left = [each for each in sent for _ in range(each.delivered)]
    counts = np.array([each.packet.spike_counts for each in left])
    assert np.array_equal(streams["neural"]["time_series"], counts)
    packets = [each.packet for each in left]
    values = np.array([(p.vx, p.vy, p.x, p.y) for p in packets], np.float32)
    assert np.array_equal(streams["kinematics"]["time_series"], values, equal_nan=True)
    stamps = np.maximum.accumulate([each.deadline_ns / 1e9 for each in left])
    assert np.array_equal(streams["neural"]["time_stamps"], stamps)


def compare_changed(path: Path, source: Path, sent: list[Sent]) -> None:
    """One spike that is moved to another bin is named by `verify`."""
    changed = path.with_name("changed.nwb")
    shutil.copy(path, changed)
    with h5py.File(changed, "r+") as file:
        times = file["units/spike_times"]
        own = times[: int(file["units/spike_times_index"][0])]
        k = int(own[0] * 40)
        own[0] = (k + 1.5) / 40
        times[: len(own)] = np.sort(own)
    found = verify_file(changed, source).found
    named = {each.sequence_number - sent[0].packet.sequence_number for each in found.differences}
    assert named == {k, k + 1}, (k, found.differences)


def kill(folder: Path, times: int, seed: int) -> None:
    """kill -9 while a capture is written: the next server recovers what was written."""
    rng = random.Random(seed)
    source, captures = synthesized(folder, 60), folder / "captures"
    begun: str | None = None
    at_least = 0
    for n in range(times + 1):
        with serving(source, captures) as server:
            rest = rest_of(server)
            if begun is not None:
                found = read(rest, begun)
                assert found["state"] == "recovered", found
                assert found["packets"] >= at_least, (found, at_least)
                verified = verify_file(captures / f"{begun}.plj", source)
                assert verified.is_equal, verified.found.differences
                assert verify_nwb_if_there(captures / f"{begun}.nwb", source, found)
                assert len(list(captures.glob(f"{begun}*.plj*"))) == 1
                print(f"{n}: {found['packets']} packets recovered", flush=True)
                rest.call("DELETE", f"{CAPTURES}/{begun}")
            if n == times:
                break
            rest.call("POST", "/api/sessions/create", {"custom_code": CODE, "speed": 4})
            body = {"session": CODE, "keeps_playing": True}
            begun = str(rest.call("POST", CAPTURES, body)["id"])
            time.sleep(rng.uniform(0.15, 2.5))
            at_least = rest.call("GET", f"{CAPTURES}/{begun}")["packets"]
            server.process.kill()
            server.process.wait()
    print(f"killed {times} times: each capture recovered whole records, verified and converted")


def verify_nwb_if_there(path: Path, source: Path, found: dict[str, Any]) -> bool:
    """Whether a recovered capture's NWB file is equal; one without packets has none."""
    if not found["packets"]:
        return not path.exists()
    verified: Verified = verify_file(path, source)
    return verified.is_equal and verified.state == "recovered"


def _steer_for(rest: Rest, seconds: float, rng: random.Random) -> int:
    end, n = time.monotonic() + seconds, 0
    time.sleep(1)
    while time.monotonic() < end:
        n += 1
        what = rng.choice(["pause", "seek", "seek", "speed"])
        if what == "pause":
            rest.call("POST", f"/api/control/{CODE}/pause")
            time.sleep(rng.uniform(0.0, 0.5))
            rest.call("POST", f"/api/control/{CODE}/resume")
        elif what == "seek":
            rest.call("POST", f"/api/control/{CODE}/seek", {"packet_id": rng.randrange(7000)})
        else:
            speed = rng.choice([0.5, 1, 2, 3])
            rest.call("POST", f"/api/control/{CODE}/speed", {"speed": speed})
        time.sleep(rng.uniform(0.1, min(4.0, seconds / 4)))
    return n


@contextmanager
def answering(server: LiveServer, decoder: str) -> Iterator[None]:
    """A client that answers every packet."""
    is_over = threading.Event()

    def answer() -> None:
        with suppress(ClientError), connect(server.http, session=CODE) as stream:
            for packet in stream:
                stream.predict(packet, 1.0, float(packet.packet_id), decoder=decoder)
                if is_over.is_set():
                    return

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()


def synthesized(folder: Path, trials: int) -> Path:
    """A recording."""
    path = folder / "source.nwb"
    synthesize(path, trials=trials)
    return path


def serving(source: Path, captures: Path) -> Any:
    """A server that captures to a folder."""
    env = {"PHANTOM_CAPTURE_DIR": str(captures), "PHANTOM_CAPTURE_MIN_FREE_MB": "0"}
    return live_server(source, env=env)


def rest_of(server: LiveServer) -> Rest:
    """Its REST interface."""
    return Rest(parse_address(server.http))


def read(rest: Rest, capture_id: str) -> dict[str, Any]:
    """What is known of a capture once its journal has been read."""

    def looked() -> dict[str, Any] | None:
        found = rest.call("GET", f"{CAPTURES}/{capture_id}")
        return found if "journal" in found["formats"] and _is_settled(found) else None

    return until(looked)


def _is_settled(found: dict[str, Any]) -> bool:
    return "nwb" in found["formats"] or "nwb" in found["problems"]


def download(rest: Rest, capture_id: str, form: str, path: Path) -> None:
    """Have a form of a capture."""
    with path.open("wb") as file:
        until(lambda: rest.download(f"{CAPTURES}/{capture_id}/file", file, {"format": form}))


def until(condition: Callable[[], Any], seconds: float = 600.0) -> Any:
    """What it answers, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)
    return found


if __name__ == "__main__":
    sys.exit(main())
