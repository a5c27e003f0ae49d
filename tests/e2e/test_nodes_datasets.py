"""Nodes whose recordings differ: heirs have the same data, or the session waits."""

import os
import shutil
import signal

from phantomlink.recordings.synthetic import synthesize
from tests.clients import listening
from tests.nodes import NOISE, SEED, nodes, valkey_at
from tests.stream_again import are_right, back
from tests.waiting import until
from tools.cluster_oracle import Oracle


def test_heirs_go_on_with_sessions_of_data_that_they_have_and_have_not_opened(
    synthetic_recording, tmp_path
):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        shutil.copy(synthetic_recording, folder / "first.nwb")
    synthesize(one / "second.nwb", trials=4, seed=8)
    # There it has another name.
    shutil.copy(one / "second.nwb", other / "renamed.nwb")
    # The same name, and other data.
    synthesize(one / "third.nwb", trials=4, seed=9)
    synthesize(other / "third.nwb", trials=4, seed=10)
    oracle = Oracle(one / "second.nwb", NOISE, SEED)
    with (
        valkey_at(tmp_path / "valkey") as valkey,
        nodes(one / "first.nwb", "a", valkey=valkey) as (a,),
        nodes(other / "first.nwb", "b", valkey=valkey, n_more=1) as (b,),
    ):
        a.create("s", perturbation=NOISE, seed=SEED, dataset="second")
        a.create("paused", dataset="second")
        a.create("unlike", dataset="third")
        assert a.post("/api/control/paused/pause")[0] == 200
        client = valkey.client()
        for code in ("s", "paused", "unlike"):
            # Before, nobody can know whether it has the same data.
            until(lambda code=code: client.hget(f"phantomlink:s:{code}", "sha256"), "the digest")
        client.close()
        with listening(a.ws + "/stream/s") as old:
            until(lambda: len(old.packets) > 40, "packets")
            os.killpg(a.process.pid, signal.SIGKILL)
            until(lambda: old.close_code, "the end of the connection")
            new = back(b.ws + "/stream/s", 40)
        assert are_right(oracle, old)
        assert are_right(oracle, new)
        assert new.sequence[0] > old.sequence[-1]
        assert new.metadata["data"]["dataset"] == "renamed"
        assert b.get("/api/sessions/paused")[1]["is_paused"]
        status, problem = b.get("/api/sessions/unlike")
        assert (status, "no other one that has its recording" in problem["detail"]) == (503, True)
        assert "Traceback" not in b.log
