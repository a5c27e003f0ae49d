"""Where nodes and their Valkey have ended, sessions come back from the state files."""

import json
import os
import signal

from tests.nodes import LONG_LEASE_SECONDS, nodes, valkey_at
from tests.waiting import until


def kept_in(folder):
    """(session, bin) of all in the state file of a folder."""
    found = [json.loads(path.read_text())["sessions"] for path in folder.glob("sessions-*.json")]
    return {each["code"]: each["bin_index"] for sessions in found for each in sessions}


def test_when_owner_and_valkey_have_ended_sessions_come_back_unless_another_node_has_them(
    synthetic_recording, tmp_path
):
    kept = tmp_path / "kept"
    state = {"PHANTOM_STATE_DIR": str(kept)}
    lease = LONG_LEASE_SECONDS
    with (
        valkey_at(tmp_path / "one") as first,
        nodes(synthetic_recording, "a", valkey=first, lease_seconds=lease, env=state) as (a,),
    ):
        port = first.port
        for code in ("mine", "others"):
            a.create(code)
            assert a.post(f"/api/control/{code}/seek", {"packet_id": 100})[0] == 200
        until(lambda: kept_in(kept) == {"mine": 100, "others": 100}, "the state file")
        os.killpg(a.process.pid, signal.SIGKILL)
    with (
        valkey_at(tmp_path / "two", port) as second,
        nodes(synthetic_recording, "b", valkey=second, lease_seconds=lease) as (b,),
    ):
        b.create("others")
        with nodes(
            synthetic_recording, "a", valkey=second, lease_seconds=lease, n_more=1, env=state
        ) as (a,):
            assert a.get("/api/control/mine/position")[1]["current_packet"] == 100
            assert b.get("/api/control/mine/position")[1]["current_packet"] == 100
            assert a.get("/api/control/others/position")[1]["current_packet"] == 0
            counts = {each["name"]: each["sessions"] for each in b.get("/api/nodes")[1]["nodes"]}
            assert counts == {"a/0": 1, "b/0": 1}
            until(lambda: kept_in(kept) == {"mine": 100}, "the state file")
            assert "Traceback" not in a.log + b.log
