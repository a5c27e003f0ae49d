"""REST: the trials of the recording."""

import pytest

from phantomlink.recordings.trials import OWN_FIELDS
from tests.rest import get, problem


async def test_trials_are_the_rows_of_the_table(app, client):
    trials = await get(client, "/api/trials")
    assert (trials["total_trials"], trials["count"]) == (6, 6)
    assert [trial["trial_id"] for trial in trials["trials"]] == list(range(6))
    for trial in trials["trials"]:
        assert tuple(trial)[: len(OWN_FIELDS)] == OWN_FIELDS
        assert trial["target_id"] == trial["active_target"]
        x, y = trial["target_pos"][trial["active_target"]]
        assert (trial["target_x"], trial["target_y"]) == (x, y)
        assert await get(client, f"/api/trials/{trial['trial_id']}") == trial
    assert await get(client, "/api/trials") == trials


async def test_trials_by_target_are_those_that_aimed_at_it(client):
    every = (await get(client, "/api/trials"))["trials"]
    for target_id in {trial["target_id"] for trial in every}:
        aimed = await get(client, f"/api/trials/by-target/{target_id}")
        expected = [trial for trial in every if trial["target_id"] == target_id]
        assert aimed == {"trials": expected, "count": len(expected), "target_id": target_id}


@pytest.mark.parametrize("path", ["/api/trials/6", "/api/trials/-1", "/api/trials/by-target/99"])
async def test_a_trial_that_is_not_there_is_404(client, path):
    details = await problem(await client.get(path), 404, "the recording has")
    assert details["title"] == "No such trial"


@pytest.mark.parametrize("path", ["/api/trials/x", "/api/trials/1.0", "/api/trials/by-target/x"])
async def test_a_trial_that_is_no_number_is_422(client, path):
    await problem(await client.get(path), 422, "takes a whole number")
