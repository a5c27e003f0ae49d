"""The client against real servers, and against one that closes as a test tells it to."""

import asyncio
import os
import subprocess
import sys
import sysconfig
from fractions import Fraction
from pathlib import Path

import msgpack
import numpy as np
import pytest

import phantomlink
from phantomlink.client import (
    RefusedError,
    Session,
    StreamChangedError,
    StreamClosedError,
    UnreachableError,
    aio,
    collect,
    connect,
)
from phantomlink.client.request import make_request
from phantomlink.recordings.recording import open_recording
from tests.client_messages import metadata
from tests.scripted_server import plain, scripted_server


# Both forms of the client, as one function that listens to the end.
def listen(url, **options):
    with connect(url, session="a", **options) as stream:
        return [packet.packet_id for packet in stream], stream


def listen_async(url, **options):
    async def run():
        async with aio.connect(url, session="a", **options) as stream:
            return [packet.packet_id async for packet in stream], stream

    return asyncio.run(run())


both = pytest.mark.parametrize("listen", [listen, listen_async], ids=["sync", "async"])


@both
def test_a_stream_ends_where_the_session_was_stopped(listen):
    with scripted_server(plain(0, 1, 2, code=1000)) as server:
        ids, stream = listen(server.http)
    assert ids == [0, 1, 2]
    assert (stream.n_reconnections, stream.gaps.n_lost) == (0, 0)


@both
def test_a_stream_goes_on_over_a_lost_connection_and_gaps_are_counted(listen):
    script = (plain(0, 1, code=1001), plain(2, is_broken=True), plain(6, 7))
    with scripted_server(*script) as server:
        ids, stream = listen(server.http)
    assert ids == [0, 1, 2, 6, 7]
    assert (stream.n_reconnections, stream.gaps.n_lost, stream.gaps.n_gaps) == (2, 3, 1)


@both
def test_a_server_without_room_is_asked_again(listen):
    with scripted_server(plain(0, code=1013), plain(status=503), plain(1)) as server:
        ids, stream = listen(server.http)
    assert ids == [0, 1]
    assert stream.n_reconnections == 1


@both
def test_a_session_that_moves_is_followed(listen):
    with scripted_server(plain(1)) as new:
        moved = plain(0, code=4412, reason=f"ws://127.0.0.1:{new.port}/stream/a")
        with scripted_server(moved) as old:
            ids, stream = listen(old.http, reach_id=2)
        assert new.paths == ["/stream/a?reach_id=2"]
        assert stream.session.rest.address.http_url == new.http
    assert ids == [0, 1]


@both
def test_what_is_not_allowed_is_not_tried_again(listen):
    with scripted_server(plain(0, code=1008, reason="no")) as server:
        with pytest.raises(StreamClosedError, match=r"1008 .*no") as caught:
            listen(server.http)
        assert caught.value.code == 1008
        assert len(server.paths) == 1


@both
def test_a_loss_ends_it_where_no_reconnecting_is_wanted(listen):
    with (
        scripted_server(plain(0, code=1001)) as server,
        pytest.raises(StreamClosedError, match="going away"),
    ):
        listen(server.http, reconnect_seconds=0)


@both
def test_the_first_connection_is_tried_once_and_says_what_to_do(listen):
    with scripted_server(plain(status=503)) as server:
        with pytest.raises(RefusedError, match="as the test has it"):
            listen(server.http)
        assert len(server.paths) == 1
    with pytest.raises(UnreachableError, match="start one with `phantomlink serve`"):
        listen(server.http)


@both
def test_another_recording_behind_the_same_address_is_an_error(listen):
    script = (plain(0, code=1001), plain(1, first=metadata(dataset="another")))
    with (
        scripted_server(*script) as server,
        pytest.raises(StreamChangedError, match="'another'"),
    ):
        listen(server.http)


def predicted(raw):
    message = msgpack.unpackb(raw)
    return message["data"]["packet_id"], message["data"]["vx"], message["data"]["decoder"]


def test_predictions_are_sent_back():
    with scripted_server(plain(0, 1), answers=2) as server:
        with connect(server.http, session="a", decoder="kf") as stream:
            for packet in stream:
                stream.predict(packet, vx=packet.packet_id + 0.5, vy=0)
        assert list(map(predicted, server.received)) == [(0, 0.5, "kf"), (1, 1.5, "kf")]
        stream.predict(packet, 1, 2)
        assert stream.n_unsent == 1


async def predict_async(url):
    async with aio.connect(url, session="a", decoder="kf") as stream:
        async for packet in stream:
            await stream.predict(packet, vx=packet.packet_id + 0.5, vy=0)


def test_predictions_are_sent_back_from_async_code():
    with scripted_server(plain(0, 1), answers=2) as server:
        asyncio.run(predict_async(server.http))
        assert list(map(predicted, server.received)) == [(0, 0.5, "kf"), (1, 1.5, "kf")]


def test_the_server_tells_how_good_predictions_were(maze_server):
    with connect(
        maze_server.http, session="told", speed=20, lsl=False, decoder="echo", scores=True
    ) as stream:
        for packet in stream:
            if packet.trial_id is not None:
                stream.predict(packet, *packet.velocity)
            if stream.last_score is not None:
                break
    assert stream.session.score("echo", "movement")["window"] == "movement"
    assert [each["decoder"] for each in stream.session.decoders()["decoders"]] == ["echo"]
    assert "echo" in str(stream.session.report())
    (score,) = stream.last_score["decoders"]
    assert score["decoder"] == "echo"
    assert score["trials"]["answered"]["velocity"]["r2"]["both"] == 1
    assert (score["unknown"], score["duplicate"], score["non_finite"]) == (0, 0, 0)
    stream.session.delete()


def test_cancelling_loses_no_packet(maze_server):
    async def run():
        numbers = []
        async with aio.connect(maze_server.http, session="cancelled", lsl=False) as stream:
            while len(numbers) < 6:
                try:
                    async with asyncio.timeout(0.007):
                        packet = await stream.receive()
                except TimeoutError:
                    continue
                numbers.append(packet.sequence_number)
        return numbers

    assert asyncio.run(run()) == list(range(6))


# --- a real server


def drain(stream):
    while True:
        stream.receive(0.2)


def test_a_session_is_made_as_asked_and_steered(maze_server):
    asked = {"perturbation": "light", "seed": 3, "speed": 4}
    with Session.create(url=maze_server.http, **asked) as session:  # noqa: SIM117
        with connect(session=session) as stream:
            assert stream.info.frequency_hz == 160
            assert stream.info.data["perturbation"]["name"] == "light"
            first = stream.receive(10)
            assert (first.packet_id, first.counts.shape) == (0, (142,))
            assert stream.session.code == session.code
            session.pause()
            assert session.position()["is_paused"]
            with pytest.raises(TimeoutError, match="may be paused"):
                drain(stream)
            session.seek(1000)
            session.resume()
            assert stream.receive(10).packet_id == 1000
            session.seek(position_seconds=50.0)
            while (packet := stream.receive(10)).packet_id < 2000:
                pass
            assert packet.packet_id == 2000
            assert (
                session.seek(trial_id=3)["packet_id"]
                < session.seek(trial_id=3, event="go_cue_time")["packet_id"]
            )
            session.pause()
            session.step(3)
            session.resume()
            session.set_speed(1)
            session.clear_perturbation()
            assert session.perturb("moderate", 5)["seed"] == 5
            assert session.perturbation()["seed"] == 5
            assert session.stats()["active_connections"] == 1
            assert "lateness" in str(session.timing())
            assert session.info()["is_running"]
            assert len(session.trials()) == 60
            session.stop()
            for _ in stream:  # those that were on their way; then it ends
                pass
    with pytest.raises(RefusedError, match="no session has the code"):
        session.position()


def test_a_session_that_is_another_is_refused(maze_server):
    with Session.create(url=maze_server.http, speed=4) as session:
        with pytest.raises(RefusedError) as caught:
            connect(maze_server.http, session=session.code, speed=2)
        assert caught.value.status == 409
        # Changed since, it is the same session all the same when the connection is opened again.
        request = make_request(maze_server.http, session.code, None, {"speed": 4})
        url = request.prepare()
        session.set_speed(8)
        assert request.prepare() == url


def truth(bins, trial_ids):
    block = bins.read(0, bins.grid.n_bins)
    chosen = np.flatnonzero(np.isin(block.trial_rows, trial_ids))
    return chosen, block.counts[chosen], block.kinematics[chosen], block.trial_rows[chosen]


@pytest.fixture(scope="module")
def maze_bins(maze_recording):
    with open_recording(maze_recording) as recording:
        yield recording.at_rate(Fraction(40))


def test_what_is_collected_is_the_recording(maze_server, maze_bins):
    data = collect(maze_server.http, trials=[7, 3], speed=20)
    chosen, counts, kinematics, rows = truth(maze_bins, [3, 7])
    np.testing.assert_array_equal(data.packet_id, chosen)
    np.testing.assert_array_equal(data.X, counts)
    np.testing.assert_array_equal(data.Y, kinematics)
    np.testing.assert_array_equal(data.trial_id, rows)
    assert data.trial_time_ms.min() >= 0
    np.testing.assert_allclose(data.time_seconds, chosen * 0.025)
    assert len(data) == len(chosen)


def test_what_is_lost_on_the_way_is_collected_all_the_same(maze_server, maze_bins):
    lossy = {
        "transforms": [
            {"kind": "packet_loss", "probability": 0.2},
            {"kind": "packet_duplicate", "probability": 0.2},
            {"kind": "packet_reorder", "probability": 0.2},
        ]
    }
    data = collect(maze_server.http, trials=1, perturbation=lossy, seed=5, speed=40)
    np.testing.assert_array_equal(data.packet_id, truth(maze_bins, [0])[0])


def test_collecting_from_async_code_leaves_the_loop_free(maze_server):
    async def run():
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        data = await aio.collect(maze_server.http, trials=1, target=0, speed=20)
        turning.cancel()
        return turns, data

    turns, data = asyncio.run(run())
    assert turns > 10
    assert set(data.trial_id) == {data.trial_id[0]}


def test_a_collecting_that_is_cancelled_leaves_no_session_behind(maze_server):
    before = set(maze_server.get("/api/sessions")[1]["sessions"])

    async def run():
        task = asyncio.create_task(aio.collect(maze_server.http))
        while set(maze_server.get("/api/sessions")[1]["sessions"]) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())  # waits for its threads
    assert set(maze_server.get("/api/sessions")[1]["sessions"]) <= before


def test_the_sync_client_works_inside_a_running_loop(maze_server):
    async def cell():  # as in Jupyter, whose cells run in a loop
        with connect(maze_server.http, session="notebook", lsl=False) as stream:
            return stream.receive(10).packet_id

    assert asyncio.run(cell()) >= 0


# --- an environment with nothing else

PROGRAM = """
import sys
assert not any("site-packages" in folder for folder in sys.path), sys.path
import asyncio
from phantomlink.client import aio, collect, connect

with connect(session="bare", decoder="kf", lsl=False) as stream:
    for packet in stream:
        stream.predict(packet, *packet.velocity)
        if stream.gaps.n_received == 3:
            break

async def main():
    async with aio.connect(session="bare") as stream:
        await stream.predict(await stream.receive(), 1, 2)

asyncio.run(main())
print(collect(trials=1, speed=50).X.shape[1])
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(sorted(name for name, file in files.items() if sys.argv[1] in file and "." not in name))
"""


def bare_environment(folder: Path, *packages: str) -> dict[str, str]:
    """Variables for `python -S` to see these packages, the client, and nothing else."""
    site = Path(sysconfig.get_path("purelib"))
    for found in (each for package in packages for each in site.glob(f"{package}*")):
        if found.suffix != ".dist-info":
            (folder / found.name).symlink_to(found)
    ours = Path(phantomlink.__file__).parent
    (folder / "phantomlink").mkdir()
    for name in ("__init__.py", "client"):
        (folder / "phantomlink" / name).symlink_to(ours / name)
    return {"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]}


def run_bare(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-P", "-W", "error", "-c", program, environment["PYTHONPATH"]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_needs_nothing_but_websockets_msgpack_and_numpy(maze_server, tmp_path):
    environment = bare_environment(tmp_path, "websockets", "msgpack", "numpy")
    done = run_bare(PROGRAM, environment | {"PHANTOM_URL": maze_server.http})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["142", "['msgpack', 'numpy', 'phantomlink', 'websockets']"]


def test_without_websockets_it_says_how_to_install_it(tmp_path):
    done = run_bare("import phantomlink.client", bare_environment(tmp_path, "msgpack", "numpy"))
    assert done.returncode == 1
    assert "pip install 'phantomlink[client]'" in done.stderr.splitlines()[-1]
