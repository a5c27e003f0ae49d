"""Measure what decoders cost a server: lateness while clients answer or a model is fitted, and CPU.

    python tools/decoder_cost.py fit                 # three minutes
    python tools/decoder_cost.py answers             # three minutes
    python tools/decoder_cost.py built-in            # four minutes
    python tools/decoder_cost.py step                # five seconds

`fit`: 100 sessions play at 40 Hz; slices in which a Wiener filter of 8 bins is fitted to 142 units
and slices in which nothing is, take turns. `answers`: the client of each session answers every
packet in one kind of slice and says nothing in the other. Lateness is how late packets left to the
grid of each stream, by their stamps; its percentiles are of all packets of a side, without those
that the host held up, and their intervals come from drawing pairs of slices. The clients take
compact packets in a process of their own. How busy it and the server are is told: what has no core
left is late. `built-in`: ten models of three kinds play along with one session; told are gaps at a
client, CPU a packet without and with them, and by how much their scores differ from those of
`phantomlink score`. `step`: CPU of one bin of a decoder that does not learn, at 142 and at 1024
units.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from phantomlink.cli import main as phantomlink
from phantomlink.decoding import Decoder
from phantomlink.decoding.kalman import KalmanParameters
from phantomlink.decoding.ridge import RidgeParameters
from tools.bench.alternation import Clients, clients_of, costs_of
from tools.bench.harness.server import Server, StartedServer, UsageMeter, positive
from tools.bench.harness.text import table

_RATE_HZ = Fraction(40)
_CLOSING_SECONDS = 3.5
_HEAR_SECONDS = 5.0
_LAST_ANSWERS_SECONDS = 0.2
_COMPACT = "?format=compact"
_FIT = {"decoder": "ridge", "split": {"train": 0.75}}
_KINDS = ("kalman", "ridge", "rls")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("what", choices=("fit", "answers", "built-in", "step"))
    add("--sessions", type=positive(int), default=100, help="at once (%(default)s)")
    add("--slices", type=positive(int), default=16, help="of each kind (%(default)s)")
    add("--slice-seconds", type=positive(float), default=3.0, help="(%(default)s)")
    add("--decoders", type=positive(int), default=10, help="built-in ones (%(default)s)")
    add("--seconds", type=positive(float), default=200.0, help="with them (%(default)s)")
    arguments = parser.parse_args()
    if arguments.what == "step":
        return _steps()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["PHANTOM_MODELS_DIR"] = str(folder / "models")
        n_sessions = 1 if arguments.what == "built-in" else arguments.sessions
        server = StartedServer(None, _RATE_HZ, n_sessions + 1, folder)
        stack.callback(server.stop)
        if arguments.what == "built-in":
            return _built_in(server, folder, arguments.decoders, arguments.seconds)
        codes = [f"cost-{n}" for n in range(n_sessions)]
        clients = stack.enter_context(clients_of(server, codes, _COMPACT))

        def doing() -> AbstractContextManager[None]:
            is_fit = arguments.what == "fit"
            return _fitting(server) if is_fit else _answering(server, clients, codes)

        rows = costs_of(doing, server, clients, _RATE_HZ, arguments.slices, arguments.slice_seconds)
        print(table([f"{len(codes)} sessions, {arguments.what}", "median [95 % interval]"], rows))
        dropped = sum(server.must("GET", f"/api/stats/{code}")["dropped_packets"] for code in codes)
        print(f"packets dropped: {dropped}")
    return 0


def _steps() -> int:
    rng = np.random.default_rng(0)
    rows = []
    for n_units in (142, 1024):
        counts = rng.poisson(0.3, (2000, n_units)).astype(np.uint16)
        for name, decoder in _decoders(rng, n_units).items():
            began_ns = time.thread_time_ns()
            for row in counts:
                decoder.step(row)
            step_us = (time.thread_time_ns() - began_ns) / len(counts) / 1e3
            rows.append([f"{name}, {n_units} units", f"{step_us:.1f}"])
    print(table(["decoder", "a step, us"], rows))
    return 0


def _decoders(rng: np.random.Generator, n_units: int) -> dict[str, Decoder]:
    """Parameters of any values cost what fitted ones do."""
    weights = rng.normal(size=(8, n_units, 2))
    made: dict[str, Decoder] = {"ridge": RidgeParameters(weights, np.zeros(2), 1.0).decoder()}
    for name, k in (("kalman", 2), ("kalman-pv", 4)):
        made[name] = KalmanParameters(
            transition=0.9 * np.eye(k),
            transition_noise=np.eye(k),
            observation=rng.normal(size=(n_units, k)),
            observation_mean=np.zeros(n_units),
            gain=1e-3 * rng.normal(size=(k, n_units)),
            start=np.zeros(k),
            n_bins=4,
            lag=2,
        ).decoder()
    return made


@contextmanager
def _answering(server: Server, clients: Clients, codes: list[str]) -> Iterator[None]:
    """Clients answer; afterwards nobody decodes, and no packet is kept for anybody's score."""
    with clients.answering():
        yield
    time.sleep(_LAST_ANSWERS_SECONDS)
    for code in codes:
        server.must("DELETE", f"/api/sessions/{code}/decoders/measured", None)


@contextmanager
def _fitting(server: Server) -> Iterator[None]:
    """A model is fitted for as long as this is open, one after the other."""
    is_over = threading.Event()

    def fit() -> None:
        other = Server(f"http://{server.host}:{server.port}", None)
        while not is_over.is_set():
            status, answer = other.call("POST", "/api/sessions/cost-0/calibrate", _FIT)
            if status == 429:
                time.sleep(0.1)
                continue
            assert status == 202, answer
            while _state(other, answer["model_id"]) == "fitting":
                time.sleep(0.2)
            assert other.call("DELETE", f"/api/models/{answer['model_id']}")[0] == 200
        other.disconnect()

    thread = threading.Thread(target=fit)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _state(server: Server, model_id: str) -> str:
    return str(server.must("GET", f"/api/models/{model_id}")["state"])


def _built_in(server: Server, folder: Path, n_decoders: int, seconds: float) -> int:
    server.must("POST", "/api/sessions/create", {"custom_code": "ten"})
    models: dict[str, str] = {}
    for kind in _KINDS[:n_decoders]:
        status, answer = server.call(
            "POST", "/api/sessions/ten/calibrate", {"decoder": kind, "split": {"train": 0.5}}
        )
        assert status == 202, answer
        while (state := _state(server, answer["model_id"])) == "fitting":
            time.sleep(0.2)
        assert state == "ready", server.must("GET", f"/api/models/{answer['model_id']}")
        models[kind] = answer["model_id"]
    names = [f"{_KINDS[n % len(_KINDS)]}-{n}" for n in range(n_decoders)]

    def play(seconds: float) -> tuple[float, NDArray[np.int64]]:
        with clients_of(server, ["ten"], _COMPACT) as clients:
            meter, ends = UsageMeter(server.process), time.monotonic() + seconds
            heard = []
            while (now := time.monotonic()) < ends:
                heard += clients.hear(int((now + min(_HEAR_SECONDS, ends - now)) * 1e9))
            cpu, _ = meter.seconds()
        return cpu, np.concatenate([arrived.sequence for arrived in heard])

    cpu, packets = play(min(seconds, 20.0))
    alone = cpu / len(packets) * 1e6
    server.must("POST", "/api/control/ten/seek", {"packet_id": 0})
    for name in names:
        body = {"model": models[name.split("-")[0]]}
        server.must("PUT", f"/api/sessions/ten/decoders/{name}", body)
    cpu, packets = play(seconds)
    with_all = cpu / len(packets) * 1e6
    gaps = int((np.diff(packets) != 1).sum())
    time.sleep(_CLOSING_SECONDS)
    live = {name: server.must("GET", f"/api/sessions/ten/decoders/{name}/score") for name in names}
    difference, compared = _against_offline(server, folder, models, live)
    print(
        table(
            [f"{n_decoders} built-in decoders of {len(models)} kinds", ""],
            [
                ["packets", str(len(packets))],
                ["gaps", str(gaps)],
                ["CPU a packet without, us", f"{alone:.0f}"],
                ["CPU a packet with, us", f"{with_all:.0f}"],
                ["a packet and decoder, us", f"{(with_all - alone) / n_decoders:.1f}"],
                ["scores compared with phantomlink score", str(compared)],
                ["largest difference of R2", f"{difference:.1g}"],
            ],
        )
    )
    return 0 if gaps == 0 and difference < 1e-9 and compared else 1


def _against_offline(
    server: Server, folder: Path, models: dict[str, str], live: dict[str, Any]
) -> tuple[float, int]:
    """The largest difference of R2 of whole trials, and how many were compared."""
    os.chdir(folder)  # where no recording lies by chance
    command = ["score", "--json"]
    for kind, model_id in models.items():
        path = folder / f"{kind}.npz"
        url = f"http://{server.host}:{server.port}/api/models/{model_id}/file"
        with urllib.request.urlopen(url) as answer:
            path.write_bytes(answer.read())
        command += ["--decoder", f"{kind}={path}"]
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert phantomlink(command) == 0
    offline = {
        (decoder["decoder"], trial["trial_id"]): trial
        for decoder in json.loads(printed.getvalue())["runs"][0]["decoders"]
        for trial in decoder["scores"]["trials"]["answered"]["trials"]
    }
    largest, compared = 0.0, 0
    for name, score in live.items():
        for mine in score["answered"]["trials"]:
            other = offline.get((name.split("-")[0], mine["trial_id"]))
            if other is None or other["n"] != mine["n"] or mine["loop"] != 0:
                continue
            pair = [trial["velocity"]["r2"]["both"] for trial in (mine, other)]
            if None not in pair:
                largest, compared = max(largest, abs(pair[0] - pair[1])), compared + 1
    return largest, compared


if __name__ == "__main__":
    sys.exit(main())
