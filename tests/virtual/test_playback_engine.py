"""The engine in a script: paced exactly, as fast as it will go, left at any moment."""

import os
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import trio
import trio.testing

from phantomlink.errors import InvalidParameterError, NoMatchingBinsError, RecordingError
from phantomlink.perturbation import NO_PERTURBATION
from phantomlink.perturbation.perturber import Perturber
from phantomlink.perturbation.presets import PRESETS, parse_perturbation
from phantomlink.playback_engine import NoiseInjectionMiddleware, PlaybackEngine
from phantomlink.recordings.bins import RecordedBins
from phantomlink.recordings.nwb import contents as contents_module
from phantomlink.recordings.recording import open_recording
from phantomlink.recordings.trials import Filter
from tests.fakes import VirtualClock

NOISE = {"kind": "gaussian_noise", "noise_std": 0.5}
DRIFT = {"kind": "drift", "drift_amplitude": 0.3, "drift_period_seconds": 60.0}


@pytest.fixture(scope="module")
def block(synthetic_recording):
    with open_recording(synthetic_recording) as recording:
        bins = recording.at_rate(Fraction(40))
        return bins.read(0, bins.grid.n_bins)


async def take(engine, n=None):
    """Packets of an entered engine, all or the first n; and when each came."""
    packets, times = [], []
    async for packet in engine:
        packets.append(packet)
        times.append(trio.current_time())
        if len(packets) == n:
            break
    return packets, times


def ids(packets):
    return [packet.packet_id for packet in packets]


# --- in real time


async def test_packets_come_on_the_grid_and_end_with_the_recording(
    synthetic_recording, block, autojump_clock
):
    async with PlaybackEngine(synthetic_recording, clock=VirtualClock()) as engine:
        packets, times = await take(engine)
        assert await take(engine) == ([], []), "after the end comes nothing"
    assert ids(packets) == list(range(len(block.counts)))
    assert [round((b - a) * 1000, 6) for a, b in pairwise(times)] == [25] * (len(packets) - 1)
    assert np.array_equal([p.spike_counts for p in packets], block.counts)
    assert [p.timestamp - 1_700_000_000 for p in packets] == pytest.approx(times, abs=1e-6)
    assert engine.dropped == 0
    assert engine.timing.packets == len(packets)
    assert engine.timing.lateness.summary().max_ns < 1000


async def test_a_packet_is_what_a_decoder_wants_and_a_client_would_receive(
    synthetic_recording, block, autojump_clock
):
    async with PlaybackEngine(synthetic_recording, clock=VirtualClock()) as engine:
        packets, _ = await take(engine, 100)
        header = engine.bins
    last = packets[-1]
    assert (last.vx, last.vy, last.x, last.y) == pytest.approx(block.kinematics[99])
    assert last.spike_counts.dtype == np.uint16
    data = last.data()
    assert data["packet_id"] == data["sequence_number"] == 99
    assert data["timestamp"] == last.timestamp
    assert data["spikes"]["spike_counts"] == block.counts[99].tolist()
    assert data["spikes"]["bin_size_ms"] == 25.0
    assert len(header.unit_ids) == 12


async def test_width_of_bins_and_speed(synthetic_recording, autojump_clock):
    async with PlaybackEngine(
        synthetic_recording, bin_size_ms=50, speed=10, clock=VirtualClock()
    ) as engine:
        _, times = await take(engine, 50)
        assert engine.bins.grid.rate_hz == 20
    assert [round((b - a) * 1000, 6) for a, b in pairwise(times)] == [5] * 49


async def test_who_is_slow_loses_the_oldest_and_sees_how_many(synthetic_recording, autojump_clock):
    async with PlaybackEngine(synthetic_recording, clock=VirtualClock()) as engine:
        before, _ = await take(engine, 10)
        await trio.sleep(5.01)
        # 200 have come, and two seconds of them are kept.
        assert engine.dropped == 120
        after, times = await take(engine, 100)
    assert ids(before) == list(range(10))
    assert ids(after) == list(range(130, 230))
    assert [p.sequence_number for p in after] == ids(after)
    assert times[79] == times[0], "what was kept is there at once"
    assert times[99] - times[80] == pytest.approx(19 * 0.025)


async def test_over_and_over(synthetic_recording, block, autojump_clock):
    n = len(block.counts)
    async with PlaybackEngine(synthetic_recording, loop=True, clock=VirtualClock()) as engine:
        packets, times = await take(engine, 2 * n + 1)
    assert [p.packet_id for p in packets] == [*range(n), *range(n), 0]
    assert [p.loop for p in packets] == [0] * n + [1] * n + [2]
    assert times[-1] - times[0] == pytest.approx(2 * n * 0.025)


# --- as fast as it will go


async def test_time_stands_still_for_who_wants_all_at_once(
    synthetic_recording, block, autojump_clock
):
    began = trio.current_time()
    async with PlaybackEngine(synthetic_recording, speed=None) as engine:
        packets, _ = await take(engine)
        timing = engine.timing
    assert trio.current_time() == began
    assert timing.packets == len(packets)
    assert timing.lateness.summary().max_ns == 0, "no tick is late where nobody waits for one"
    assert (timing.stalls, timing.overruns) == (0, 0)
    assert ids(packets) == list(range(len(block.counts)))
    assert np.array_equal([p.spike_counts for p in packets], block.counts)


async def test_nothing_is_lost_however_slow_the_script(synthetic_recording, block, autojump_clock):
    async with PlaybackEngine(synthetic_recording, speed=None) as engine:
        packets = []
        async for packet in engine:
            packets.append(packet)
            await trio.sleep(1)
            # It waits for the script, a short queue ahead of it.
            assert engine.timing.packets <= len(packets) + 16
        assert engine.dropped == 0
    assert ids(packets) == list(range(len(block.counts)))


async def test_a_filter_plays_the_bins_of_its_trials(synthetic_recording, block):
    wanted = int(block.trial_rows.max())
    async with PlaybackEngine(synthetic_recording, speed=None, trial_id=wanted) as engine:
        packets, _ = await take(engine)
        ranges = engine.bins.trials.ranges(Filter(trial_id=wanted), engine.bins.grid)
    assert ids(packets) == [i for start, stop in ranges for i in range(start, stop)]
    assert {p.trial_id for p in packets} == {wanted}


async def test_a_recording_that_is_not_in_memory_is_played_the_same(
    synthetic_recording, block, monkeypatch
):
    monkeypatch.setattr(contents_module, "MEMORY_SPIKES", 0)
    async with PlaybackEngine(synthetic_recording, speed=None) as engine:
        assert not engine.bins.in_memory
        packets, _ = await take(engine)
    assert np.array_equal([p.spike_counts for p in packets], block.counts)


# --- perturbed


async def test_the_counts_are_perturbed_and_nothing_else(synthetic_recording, block):
    perturbation = PRESETS["moderate"]
    async with PlaybackEngine(
        synthetic_recording, speed=None, loop=True, perturbation="moderate", seed=7
    ) as engine:
        packets, _ = await take(engine, 2 * len(block.counts))
        grid, unit_ids = engine.bins.grid, engine.bins.unit_ids
    perturber = Perturber(perturbation, seed=7, unit_ids=unit_ids, grid=grid)
    expected = [perturber.counts(block.counts, 0, loop) for loop in (0, 1)]
    assert not np.array_equal(expected[0], expected[1])
    assert not np.array_equal(expected[0], block.counts)
    assert np.array_equal([p.spike_counts for p in packets], np.concatenate(expected))
    kinematics = np.array([[p.vx, p.vy, p.x, p.y] for p in packets], float)
    assert np.array_equal(kinematics, np.tile(block.kinematics, (2, 1)), equal_nan=True)


async def test_the_middleware_is_the_perturbation_of_its_numbers(synthetic_recording):
    async def counts(**arguments):
        async with PlaybackEngine(synthetic_recording, speed=None, **arguments) as engine:
            return [p.spike_counts.tolist() for p in (await take(engine, 200))[0]]

    middleware = NoiseInjectionMiddleware(noise_std=0.5, drift_amplitude=0.3, seed=3)
    as_json = {"transforms": [NOISE, DRIFT]}
    by_middleware = await counts(noise_middleware=middleware)
    assert by_middleware == await counts(noise_middleware=middleware)
    assert by_middleware == await counts(perturbation=as_json, seed=3)
    assert by_middleware == await counts(perturbation=parse_perturbation(as_json), seed=3)
    assert by_middleware == await counts(perturbation="moderate", seed=3)
    assert by_middleware != await counts(noise_middleware=middleware, seed=4)
    assert by_middleware != await counts()


async def test_faults_of_transport_are_there_and_cost_no_packet_in_the_queue(
    synthetic_recording, block, autojump_clock
):
    faults = [
        {"kind": "packet_loss", "probability": 0.1},
        {"kind": "packet_duplicate", "probability": 1},
        {"kind": "packet_reorder", "probability": 0.25},
        {"kind": "jitter", "std_ms": 50},
    ]
    n = len(block.counts)
    async with PlaybackEngine(
        synthetic_recording, speed=None, perturbation={"transforms": faults}
    ) as engine:
        packets = []
        async for packet in engine:
            packets.append(packet)
            await trio.sleep(1)  # so that the queue is full
        injected = engine.timing.injected
    assert engine.dropped == 0
    assert injected.lost > 30
    assert injected.reordered > 30
    numbers = [p.sequence_number for p in packets]
    assert numbers[::2] == numbers[1::2], "each comes twice"
    assert len(numbers) == 2 * (n - injected.lost)
    assert numbers != sorted(numbers)


async def test_entered_again_it_plays_the_same(synthetic_recording):
    engine = PlaybackEngine(synthetic_recording, speed=None, perturbation="intense", seed=1)
    rounds = []
    for _ in range(2):
        async with engine:
            rounds.append([p.spike_counts.tolist() for p in (await take(engine, 300))[0]])
    assert rounds[0] == rounds[1]


def test_what_the_middleware_switches_off_is_left_out():
    def parsed(*transforms):
        return parse_perturbation({"transforms": list(transforms)})

    assert NoiseInjectionMiddleware().perturbation == parsed(NOISE, DRIFT)
    assert NoiseInjectionMiddleware(enable_noise=False).perturbation == parsed(DRIFT)
    assert NoiseInjectionMiddleware(enable_drift=False).perturbation == parsed(NOISE)
    nothing = NoiseInjectionMiddleware(enable_noise=False, enable_drift=False)
    assert nothing.perturbation == NO_PERTURBATION


@pytest.mark.parametrize(
    ("arguments", "transform"),
    [
        ({"noise_std": -0.1}, {**NOISE, "noise_std": -0.1}),
        ({"drift_amplitude": 1.5}, {**DRIFT, "drift_amplitude": 1.5}),
        ({"drift_period_seconds": 0.0}, {**DRIFT, "drift_period_seconds": 0.0}),
        ({"noise_std": float("nan"), "enable_noise": False}, {**NOISE, "noise_std": float("nan")}),
    ],
)
def test_the_middleware_refuses_what_the_server_refuses(arguments, transform):
    name = next(iter(arguments))
    first = [] if name == "noise_std" else [NOISE]
    with pytest.raises(InvalidParameterError, match=rf"{name}: got .*takes") as refused:
        NoiseInjectionMiddleware(**arguments)
    with pytest.raises(InvalidParameterError) as by_server:
        parse_perturbation({"transforms": [*first, transform]})
    assert str(refused.value) == str(by_server.value)


# --- what is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bin_size_ms": 0.5}, "bin_size_ms: got 0.5, takes 1 to 1000"),
        ({"speed": 0}, "speed: got 0, takes 0.1 to 100"),
        ({"speed": 100, "bin_size_ms": 1}, "takes up to 4000 packets a second"),
        ({"perturbation": "mild"}, "perturbation: got 'mild', takes one of light"),
        ({"seed": -1}, "seed: got -1, takes a whole number from 0"),
        (
            {"perturbation": "light", "noise_middleware": NoiseInjectionMiddleware()},
            "got one beside a noise_middleware",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InvalidParameterError, match=message):
        PlaybackEngine("recording.nwb", **arguments)


async def test_a_missing_file_is_refused_by_name(tmp_path):
    engine = PlaybackEngine(tmp_path / "gone.nwb")
    with pytest.raises(RecordingError, match=r"gone\.nwb: no such file"):
        async with engine:
            raise AssertionError
    with pytest.raises(RuntimeError, match="enter it first"):
        await anext(engine)


async def test_a_filter_that_matches_nothing_is_refused_and_the_file_closed(
    synthetic_recording, monkeypatch
):
    monkeypatch.setattr(contents_module, "MEMORY_SPIKES", 0)
    with pytest.raises(NoMatchingBinsError, match="trial_id=99"):
        async with PlaybackEngine(synthetic_recording, trial_id=99):
            raise AssertionError
    assert open_descriptors(synthetic_recording) == []


async def test_a_perturbation_of_units_that_are_not_there_is_refused(synthetic_recording):
    dead = {"kind": "dead_units", "unit_ids": [-1]}
    engine = PlaybackEngine(synthetic_recording, perturbation={"transforms": [dead]})
    with pytest.raises(InvalidParameterError, match=r"transforms\[0\]\.unit_ids: got -1"):
        async with engine:
            raise AssertionError


async def test_it_plays_inside_its_context_and_once_at_a_time(synthetic_recording):
    engine = PlaybackEngine(synthetic_recording)
    with pytest.raises(RuntimeError, match="enter it first"):
        await anext(engine)
    with pytest.raises(RuntimeError, match="enter it first"):
        _ = engine.bins
    async with engine:
        with pytest.raises(RuntimeError, match="playing already"):
            async with engine:
                raise AssertionError
        await anext(engine)


# --- left early, cancelled, failing


def open_descriptors(path):
    """Files of this process that lie beside `path` or are it."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:  # of the listing itself
            continue
        if target.startswith(str(path.parent)):
            found.append(target)
    return found


@pytest.mark.parametrize("speed", [1.0, None])
async def test_leaving_early_ends_the_tasks_and_closes_the_file(
    synthetic_recording, monkeypatch, speed
):
    monkeypatch.setattr(contents_module, "MEMORY_SPIKES", 0)
    n_tasks = trio.lowlevel.current_statistics().tasks_living
    async with PlaybackEngine(synthetic_recording, speed=speed) as engine:
        await take(engine, 3)
        assert open_descriptors(synthetic_recording)
        assert trio.lowlevel.current_statistics().tasks_living > n_tasks
    assert open_descriptors(synthetic_recording) == []
    assert trio.lowlevel.current_statistics().tasks_living == n_tasks
    assert await take(engine) == ([], []), "what was waiting is no longer wanted"


async def test_what_the_script_raises_comes_out_as_it_is(synthetic_recording):
    async def script():
        async with PlaybackEngine(synthetic_recording, speed=None) as engine:
            async for _ in engine:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await script()


async def test_cancelled_while_it_opens(synthetic_recording, monkeypatch):
    monkeypatch.setattr(contents_module, "MEMORY_SPIKES", 0)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with PlaybackEngine(synthetic_recording):
            raise AssertionError
    assert scope.cancelled_caught
    assert open_descriptors(synthetic_recording) == []


async def test_a_cancelled_wait_takes_no_packet(synthetic_recording, autojump_clock):
    async with PlaybackEngine(synthetic_recording, clock=VirtualClock()) as engine:
        packets = []
        # Every third packet comes at the very moment at which the wait for it is given up.
        while len(packets) < 60:
            with trio.move_on_after(0.01):
                packets.append(await anext(engine))
    assert ids(packets) == list(range(60))


async def test_every_packet_is_a_checkpoint(synthetic_recording):
    async with PlaybackEngine(synthetic_recording, speed=None) as engine:
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(3):
            with trio.testing.assert_checkpoints():
                await anext(engine)


async def test_a_recording_that_cannot_be_read_any_more(synthetic_recording, monkeypatch):
    async with PlaybackEngine(synthetic_recording, speed=None) as engine:
        read = RecordedBins.read

        def fail_from_120_on(bins, start, stop):
            if start >= 120:
                raise RecordingError("the disk is gone")
            return read(bins, start, stop)

        monkeypatch.setattr(RecordedBins, "read", fail_from_120_on)
        packets = []

        async def script():
            async for packet in engine:
                packets.append(packet)

        with pytest.raises(RecordingError, match="the disk is gone"):
            await script()
    # What had been read ahead may go with the failure; nothing stands in for it.
    assert 0 < len(packets) <= 120
    assert ids(packets) == list(range(len(packets)))


async def test_a_bug_in_the_engine_is_not_mistaken_for_the_end(synthetic_recording, monkeypatch):
    def fail(bins, start, stop):
        raise LookupError("a bug")

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        async with PlaybackEngine(synthetic_recording) as engine:
            monkeypatch.setattr(RecordedBins, "read", fail)
            await take(engine)
