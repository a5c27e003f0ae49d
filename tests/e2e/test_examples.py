"""Every example is run as a newcomer runs it, against a live server."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.synthetic import synthesize
from phantomlink.recordings.trials import Filter
from tests.blocks import ROOT, foreign_names, node_command
from tests.servers import live_server

EXAMPLES = ROOT / "examples"
N_COLLECTED, N_VALIDATED, N_TRIALS = 400, 200, 2


@pytest.fixture(scope="module")
def truth(maze_recording):
    """Counts, kinematics, trial rows of every bin; bins of target 0, and of each trial."""
    with open_recording(maze_recording) as recording:
        bins = recording.at_rate(Fraction(40))
        block = bins.read(0, bins.grid.n_bins)

        def select(wanted):
            ranges = recording.trials.ranges(wanted, bins.grid)
            return np.concatenate([np.arange(start, stop) for start, stop in ranges])

        trials = [select(Filter(trial_id=row)) for row in range(len(recording.trials))]
        return block, select(Filter(target_id=0)), trials


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("examples")


@pytest.fixture(scope="module")
def fitted(truth, folder):
    """1000 packets of target 0, as collecting them would save them, and the decoder of them."""
    block, of_target, _ = truth
    chosen = of_target[:1000]
    np.savez(
        folder / "thousand.npz",
        packet_id=chosen,
        trial_id=block.trial_rows[chosen],
        counts=block.counts[chosen],
        kinematics=block.kinematics[chosen],
        bin_size_ms=25.0,
        total_packets=len(block.counts),
    )
    return run_example("fit_ridge_decoder.py", folder, "thousand.npz", "--out", "thousand-d.npz")


@pytest.fixture(scope="module")
def outputs(maze_server, maze_recording, fitted, folder):
    """What each example printed; all of them ran at the same time."""
    server = ("--url", maze_server.http)
    jobs = {
        "msgpack_client.py": ("--packets", "45"),
        "three_users.py": ("--seconds", "1"),
        "collect_training_data.py": ("--packets", str(N_COLLECTED)),
        "calibrate_by_trial.py": ("--trials", str(N_TRIALS)),
        # Slow enough for a busy machine to miss no packet: it would miss the news of trials, too.
        "kalman_client.py": ("--speed", "5", "--trials", "4"),
        "scikit_learn_client.py": ("--speed", "4", "--training", "12", "--trials", "2"),
        "record_decoder.py": ("--packets", "100", "--recording", str(maze_recording)),
        "validate_decoder.py": ("thousand-d.npz", "--packets", str(N_VALIDATED)),
    }
    with ThreadPoolExecutor(len(jobs) + 1) as pool:
        short = pool.submit(collect_all_there_is, folder)
        running = {
            name: pool.submit(run_example, name, folder, *arguments, *server)
            for name, arguments in jobs.items()
        }
        done = {name: job.result() for name, job in running.items()}
    done["short"] = short.result()
    played = ("--recording", str(maze_recording), "--seeds", "2", "--plots", "plots")
    done["perturbations.py"] = run_example("perturbations.py", folder, *played)
    done["fit_ridge_decoder.py"] = run_example("fit_ridge_decoder.py", folder, "training.npz")
    return done


def collect_all_there_is(folder):
    """What collecting says on a recording of one trial."""
    synthesize(folder / "short.nwb", trials=1)
    with live_server(folder / "short.nwb") as server:
        wanted = ("--reach-id", "0", "--packets", "1000", "--out", "short.npz")
        return run_example("collect_training_data.py", folder, *wanted, "--url", server.http)


def run_example(name, folder, *arguments):
    process = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,  # so that one that hangs ends: eight at once on a busy machine took above 60
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return process.stdout


def test_every_example_is_run_here(outputs):
    elsewhere = {"lsl_client.py"}  # test_lsl_tools.py has a server with outlets
    assert (set(outputs) - {"short"}) | elsewhere == {path.name for path in EXAMPLES.glob("*.py")}


def test_the_msgpack_client(outputs):
    lines = outputs["msgpack_client.py"].splitlines()
    assert re.fullmatch(r"maze: 142 channels, 40 packets a second, \d+\.\d s", lines[0])
    assert [int(line.split()[1]) for line in lines[1:-1]] == [0, 20, 40]
    assert lines[-1] == "received 45 packets, lost 0"


def test_three_users_of_whom_one_pauses(outputs, maze_server):
    output = outputs["three_users.py"].splitlines()
    codes = [line.split()[-1] for line in output[:3]]
    rows = {line[:16].strip(): line[16:].split() for line in output[3:]}
    assert rows.pop("") == ["alice", "bob", "carol"]
    counts = {name: [int(value) for value in row] for name, row in rows.items()}
    alice, bob, carol = counts["bob is paused"]
    # One packet may have been on its way when bob paused.
    assert bob <= 1
    assert min(alice, carol) > 20
    assert min(counts["bob goes on"]) > 20
    assert counts["packets lost"] == [0, 0, 0]
    _, answer = maze_server.get("/api/sessions")
    assert {"demo", "training", "validation"} <= set(answer["sessions"])
    assert not {"calibration", *codes} & set(answer["sessions"]), "made up and not deleted"


def test_training_data_are_those_of_the_recording(outputs, truth, folder):
    block, of_target, _ = truth
    chosen = of_target[:N_COLLECTED]
    with np.load(folder / "training.npz") as data:
        assert data["packet_id"].tolist() == chosen.tolist()
        assert data["trial_id"].tolist() == block.trial_rows[chosen].tolist()
        assert np.array_equal(data["counts"], block.counts[chosen])
        np.testing.assert_allclose(data["kinematics"], block.kinematics[chosen], rtol=1e-12)
        assert data["bin_size_ms"] == 25.0
    n_trials = len(set(block.trial_rows[chosen].tolist()))
    assert outputs["collect_training_data.py"].splitlines()[-1] == (
        f"saved {N_COLLECTED} packets of {n_trials} trials with target_id=0 in training.npz"
    )


def test_collecting_ends_when_there_are_no_more(outputs):
    found = re.search(r"only (\d+) packets with reach_id=0$", outputs["short"], re.MULTILINE)
    assert found is not None
    # One trial of 2.05 to 3.55 s.
    assert 80 < int(found[1]) < 145
    assert f"saved {found[1]} packets of 1 trials" in outputs["short"]


def _r2(output, before):
    found = re.search(rf"^{before}.*vx (-?\d+\.\d+)  vy (-?\d+\.\d+)$", output, re.MULTILINE)
    assert found is not None, output
    return np.array([float(found[1]), float(found[2])])


def test_a_thousand_packets_make_a_decoder(fitted, outputs):
    assert fitted.startswith("1000 packets of ")
    # By chance it would be 0 or less; all trials of such a recording reach 0.5 to 0.8.
    assert _r2(fitted, "held-out R2").mean() > 0.25
    assert outputs["fit_ridge_decoder.py"].startswith(f"{N_COLLECTED} packets of ")
    assert np.isfinite(_r2(outputs["fit_ridge_decoder.py"], "held-out R2")).all()


def test_a_decoder_is_validated_on_what_it_has_not_seen(outputs, truth, folder):
    block, of_target, _ = truth
    first = int(of_target[999]) + 1
    output = outputs["validate_decoder.py"]
    assert output.splitlines()[0] == f"the first packet is {first}"
    with np.load(folder / "thousand-d.npz") as decoder:
        weights, offsets = decoder["weights"], decoder["offsets"]
        smoothing = decoder["smoothing"]
    bins = np.arange(first, first + N_VALIDATED)
    smoothed = np.zeros((N_VALIDATED, block.counts.shape[1]))
    for back, weight in enumerate(smoothing):
        smoothed[back:] += weight * block.counts[bins[: N_VALIDATED - back]]
    predicted, true = smoothed @ weights + offsets, block.kinematics[bins, :2]
    known = ~np.isnan(true).any(axis=1)
    left = ((true - predicted)[known] ** 2).sum(axis=0)
    expected = 1 - left / ((true[known] - true[known].mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(_r2(output, "R2"), expected, atol=6e-4)
    assert f"decoded {N_VALIDATED} packets, {known.sum()} of them" in output
    assert re.search(r"latency to the decoded velocity: p50 \d+\.\d+ ms", output)


@pytest.mark.parametrize("name", ["kalman_client.py", "scikit_learn_client.py"])
def test_decoders_that_answer_are_told_how_good_they_are(outputs, name):
    scores = re.findall(r"^trial (\d+): R2 .*?(-?\d\.\d{3})", outputs[name], re.MULTILINE)
    trials = [int(trial) for trial, _ in scores]
    assert trials == sorted(trials)
    # What they reach over many trials is 0.5 to 0.6.
    assert float(scores[-1][1]) > 0.3
    if name == "kalman_client.py":
        assert trials[0] % 4 == 2


def test_calibration_plays_each_trial_once(outputs, truth, folder):
    block, _, trials = truth
    chosen = [
        int(found) for found in re.findall(r"^trial (\d+):", outputs["calibrate_by_trial.py"], re.M)
    ]
    assert len(chosen) == N_TRIALS
    bins = np.concatenate([trials[trial] for trial in chosen])
    with np.load(folder / "calibration.npz") as data:
        assert np.array_equal(data["counts"], block.counts[bins])
        assert data["trial_id"].tolist() == block.trial_rows[bins].tolist()
        np.testing.assert_allclose(data["mean"], block.counts[bins].mean(axis=0))
        np.testing.assert_allclose(data["std"], block.counts[bins].std(axis=0))


def test_a_recorded_decoder_is_verified_and_shown_where_it_was_late(outputs, folder):
    captured, verified, answered, saved = outputs["record_decoder.py"].splitlines()
    assert re.fullmatch(r"captured \d+ packets: complete", captured)
    assert verified.startswith("equal: ")
    found = re.fullmatch(r"answered (\d+) packets, (\d+) later than the next one left", answered)
    # The first capture of a server begins when what it needs is loaded.
    assert int(found[1]) > 40
    # Those that it sleeps over, and more on a busy machine.
    assert 2 <= int(found[2]) <= int(found[1])
    assert saved == "saved recorded.png"
    assert (folder / "recorded.png").read_bytes().startswith(b"\x89PNG")


def test_a_decoder_is_worse_the_worse_the_perturbation(outputs, truth, folder):
    head, *rows, counts_png, decoding_png = outputs["perturbations.py"].splitlines()
    assert head.endswith("(2 seeds)")
    names, figures = zip(
        *((name, map(float, rest)) for name, *rest in map(str.split, rows)), strict=True
    )
    assert names == ("clean", "light", "moderate", "intense", "extreme")
    spikes, r2, _ = np.array([list(row) for row in figures]).T
    assert spikes[0] == pytest.approx(truth[0].counts.sum(axis=1).mean(), abs=0.05)
    assert r2[0] > 0.6
    assert (np.diff(r2) < -0.01).all(), r2
    assert r2[-1] < 0, "extreme leaves a decoder nothing"
    for said, name in ((counts_png, "perturbed-counts"), (decoding_png, "perturbed-decoding")):
        assert said == f"saved plots/{name}.png"
        picture = (folder / "plots" / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 60_000


MEASURED = ("encode", "unpack", "decode", "client")


def test_the_formats_are_compared():
    command = [sys.executable, str(ROOT / "tools" / "compare_formats.py"), "--json"]
    command += ["--packets", "20", "--rounds", "3"]
    result = json.loads(subprocess.check_output(command, text=True, timeout=300))
    assert (result["packets"], result["channels"], result["rounds"]) == (20, 142, 3)
    for form in ("msgpack", "json", "compact"):
        assert set(result[form]) == {"bytes", *(f"{name}_us" for name in MEASURED)}
        assert min(result[form].values()) > 0
    ratios = result["json_to_msgpack"]
    assert ratios["bytes"] == pytest.approx(
        result["json"]["bytes"] / result["msgpack"]["bytes"], 1e-3
    )
    assert ratios["bytes"] > 1.2
    assert set(ratios) == set(result["compact_to_msgpack"]) == {"bytes", *MEASURED}
    assert result["compact_to_msgpack"]["bytes"] <= 0.75


class _Page(HTMLParser):
    """Elements of a page, checked to be closed in order; and the text of its script."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.script, self.outside = [], set(), "", []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.add(attributes.get("id"))
        self.outside += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.script += data


@pytest.fixture(scope="module")
def page():
    page = _Page()
    page.feed((EXAMPLES / "browser.html").read_text())
    page.close()
    return page


def test_the_page_is_whole_and_asks_for_what_the_contract_has(page):
    assert page.open == []
    assert page.outside == []
    asked = set(re.findall(r'getElementById\("([\w-]+)"\)', page.script))
    assert asked
    assert asked <= page.ids
    assert foreign_names(page.script) == set()


# What the page uses of a browser, for Node.js; the captions say what it has drawn.
_BROWSER = """
const elements = new Map();
const drawn = [];
const context = (canvas) => new Proxy({ canvas }, {
  get: (target, name) => target[name] ?? ((...numbers) => {
    if (numbers.some((each) => typeof each === "number" && !Number.isFinite(each)))
      throw new Error(`${name}(${numbers})`);
    drawn.push(name);
  }),
});
const element = (id) => ({ id, textContent: "", width: 720, height: 480,
                           getContext() { return context(this); } });
globalThis.document = { getElementById: (id) => elements.get(id) ??
  elements.set(id, element(id)).get(id) };
globalThis.location = { search: "?code=page&url=ws://ADDRESS" };
setTimeout(() => {
  console.log(elements.get("status").textContent);
  console.log(elements.get("spikes-text").textContent);
  console.log(elements.get("cursor-text").textContent);
  console.log([...new Set(drawn)].sort().join(" "));
  process.exit(0);
}, 2000);
"""


def test_the_page_draws(page, maze_server, tmp_path):
    script = _BROWSER.replace("ADDRESS", maze_server.address) + page.script
    (tmp_path / "page.mjs").write_text(script)
    process = subprocess.run(
        [node_command(), "page.mjs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    status, spikes, cursor, drawn = process.stdout.splitlines()
    assert status == "maze: 142 channels, 40 packets a second, session page"
    found = re.fullmatch(r"packet (\d+), loop 0: \d+ spikes in 25 ms; 0 packets lost", spikes)
    assert found is not None
    assert int(found[1]) > 10
    assert re.fullmatch(r"trial 0, \d+ ms, \d+ from the target", cursor)
    assert {"drawImage", "fillRect", "arc"} <= set(drawn.split())
