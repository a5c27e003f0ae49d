"""The metrics for Prometheus, of sessions on a virtual clock."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

from phantomlink.engine.counters import WEBSOCKET
from phantomlink.engine.events import NO_FILTER
from phantomlink.engine.registry import Registry
from phantomlink.metrics import Histogram
from phantomlink.outputs.decoders.kind import DecoderOutputs
from phantomlink.recordings.trials import Filter
from phantomlink.rest import prometheus
from phantomlink.rest.prometheus import EDGES_NS, scrape
from phantomlink.scheduling import loop_budget
from tests.fakes import ListSink, NamedBins, make_parts, make_trial

TRIALS = (make_trial(0, 1.0, 2.0, target_id=0), make_trial(1, 3.0, 4.0, target_id=1))
NAMES = {
    "phantomlink_tick_lateness_seconds": "histogram",
    "phantomlink_send_seconds": "histogram",
    "phantomlink_packets_sent": "counter",
    "phantomlink_messages": "counter",
    "phantomlink_packets_dropped": "counter",
    "phantomlink_slow_clients": "counter",
    "phantomlink_stalls": "counter",
    "phantomlink_overruns": "counter",
    "phantomlink_sessions": "gauge",
    "phantomlink_dataset_sessions": "gauge",
    "phantomlink_clients": "gauge",
    "phantomlink_prefetch_depth_bins": "gauge",
}


class SlowSink(ListSink):
    """Loses every third packet, and counts the others as sent."""

    transport = WEBSOCKET
    dropped = 0

    def offer_nowait(self, release):
        super().offer_nowait(release)
        if len(self.packets) % 3 == 0:
            self.dropped += 1
        else:
            self.session.counters.latency(WEBSOCKET).record(5000)


@pytest.fixture
async def service(nursery):
    parts = make_parts(NamedBins(trials=TRIALS))
    registry = Registry(lambda: parts, max_sessions=100, ttl_seconds=3600)
    await nursery.start(registry.run)
    return SimpleNamespace(registry=registry, outputs=(DecoderOutputs(),))


async def test_sessions_by_dataset_and_the_names_of_the_most_played_only(
    service, autojump_clock, monkeypatch
):
    monkeypatch.setattr(prometheus, "MAX_DATASETS", 1)
    for code, name in (("a", "one"), ("b", "two"), ("c", "two"), ("d", 'th"ree\n')):
        parts = make_parts(NamedBins(trials=TRIALS))
        parts.open_recording.recording.dataset = name
        service.registry.create(code, parts=parts)
    found = await samples(service)
    family = "phantomlink_dataset_sessions"
    assert {key: value for key, value in found.items() if key[0] == family} == {
        (family, ("dataset", "two")): 2,
        (family, ("dataset", "")): 2,
    }
    monkeypatch.undo()
    assert (await samples(service))[family, ("dataset", 'th"ree\n')] == 1


def listen(service, code, wanted=NO_FILTER, kind=SlowSink):
    session, _ = service.registry.create(code)
    sink = kind()
    sink.session = session
    session.subscribe(wanted, session.playback(wanted), sink)
    return session, sink


async def samples(service, is_openmetrics=False):
    text = (await scrape(service, is_openmetrics=is_openmetrics)).decode()
    families = (parse_open if is_openmetrics else parse_text)(text)
    return {
        (s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples
    }


def counters(samples):
    ends = ("_total", "_count", "_sum", "_bucket")
    return {key: value for key, value in samples.items() if key[0].endswith(ends)}


@pytest.mark.parametrize("is_openmetrics", [False, True])
async def test_the_names_and_types(service, autojump_clock, is_openmetrics):
    listen(service, "secret-code")
    await trio.sleep(5)
    text = (await scrape(service, is_openmetrics=is_openmetrics)).decode()
    families = list((parse_open if is_openmetrics else parse_text)(text))
    found = {family.name: family.type for family in families}
    build = "phantomlink_build" if is_openmetrics else "phantomlink_build_info"
    assert found == NAMES | {build: "info" if is_openmetrics else "gauge"}
    assert "secret-code" not in text
    assert text.endswith("# EOF\n") == is_openmetrics
    for word in ("HELP", "TYPE"):
        named = re.findall(rf"^# {word} (\S+)", text, re.MULTILINE)
        assert len(named) == len(set(named)) == len(found)
    for family in families:
        assert family.documentation.endswith(".")
        # Two samples of one name and labels would be refused.
        keys = [(s.name, *sorted(s.labels.items())) for s in family.samples]
        assert len(keys) == len(set(keys))
        # Counters and nothing else end in _total; what has a unit names a base unit.
        assert (family.type == "counter") == any(k[0].endswith("_total") for k in keys)
    labels = {name for f in families for s in f.samples for name in s.labels}
    assert labels == {"dataset", "le", "outcome", "transport", "reason", "version", "python"}


async def test_the_figures(service, autojump_clock):
    session, one = listen(service, "a")
    _, filtered = listen(service, "a", Filter(trial_id=0))
    _, other = listen(service, "b")
    for _ in range(7):
        session.counters.latency("lsl").record(1)
    await trio.sleep(2.01)
    service.registry.get("b").pause()
    said = await samples(service)
    n = sum(s.counters.packets for s in service.registry)
    assert n == said["phantomlink_tick_lateness_seconds_count",] > 200
    assert said["phantomlink_tick_lateness_seconds_bucket", ("le", "+Inf")] == n
    lost = sum(sink.dropped for sink in (one, filtered, other))
    assert said["phantomlink_packets_dropped_total", ("reason", "slow_client")] == lost > 60
    sent = said["phantomlink_packets_sent_total", ("transport", "websocket")]
    assert sent == n - lost == said["phantomlink_send_seconds_count",]
    assert said["phantomlink_send_seconds_sum",] == pytest.approx(sent * 5e-6)
    assert said["phantomlink_packets_sent_total", ("transport", "lsl")] == 7
    assert said["phantomlink_slow_clients_total",] == 3
    assert said["phantomlink_sessions",] == 2
    assert said["phantomlink_clients", ("transport", "websocket")] == 3
    assert said["phantomlink_clients", ("transport", "lsl")] == 0
    assert 0 <= said["phantomlink_prefetch_depth_bins",] <= 80


async def test_without_a_playhead_that_plays_there_is_no_depth(service, autojump_clock):
    session, _ = listen(service, "a")
    await trio.sleep(2)
    assert ("phantomlink_prefetch_depth_bins",) in await samples(service)
    session.pause()
    assert ("phantomlink_prefetch_depth_bins",) not in await samples(service)


async def test_counters_never_go_back(service, autojump_clock):
    """Whatever ends: filtered playheads, clients, sessions, and sessions while one is read."""
    before = counters(await samples(service))

    async def check():
        nonlocal before
        after = counters(await samples(service))
        assert after.keys() == before.keys()
        assert [key for key in before if after[key] < before[key]] == []
        before = after

    for round_ in range(3):
        sinks = [listen(service, f"s{k}") for k in range(20)]
        sinks += [listen(service, f"s{k}", Filter(trial_id=1)) for k in range(20)]
        await trio.sleep(1)
        await check()
        for session, sink in sinks[::2]:
            session.unsubscribe(sink)
        await check()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(check)
            for k in range(20):
                service.registry.delete(f"s{k}")
                await trio.lowlevel.checkpoint()
        await check()
        for session, sink in sinks[1::2]:
            # The last bytes of a session that has ended count too.
            session.counters.latency(WEBSOCKET).record(1000)
            session.unsubscribe(sink)
        await check()
        sent = before["phantomlink_packets_sent_total", ("transport", "websocket")]
        assert sent > 1000 * (round_ + 1)
        lateness = before["phantomlink_tick_lateness_seconds_count",]
        lost = before["phantomlink_packets_dropped_total", ("reason", "slow_client")]
        # 20 more for each round: what was recorded above.
        assert sent == lateness - lost + 20 * (round_ + 1)
    assert len(service.registry) == 0


async def test_it_gives_way_between_sessions(service, autojump_clock, monkeypatch):
    """A task that is ready runs many times while a hundred sessions are read."""
    monkeypatch.setattr(loop_budget, "LONGEST_NS", 0)
    for k in range(100):
        listen(service, f"s{k}")
    turns, done = 0, False

    async def other():
        nonlocal turns
        while not done:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        await scrape(service, is_openmetrics=False)
        done = True
    assert turns > 100


@given(st.lists(st.integers(0, 2**34) | st.sampled_from([e + d for e in EDGES_NS for d in (0, 1)])))
def test_the_published_edges_count_exactly(values):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    expected = [sum(value <= edge for value in values) for edge in EDGES_NS]
    assert histogram.counts_up_to(EDGES_NS) == expected
    both = Histogram()
    both.merge(histogram)
    both.merge(histogram)
    assert both.counts_up_to(EDGES_NS) == [2 * n for n in expected]
    assert (both.count, both.sum_ns) == (2 * len(values), 2 * sum(values))


def test_an_edge_inside_a_bucket_is_refused():
    with pytest.raises(ValueError, match="1000 ns"):
        Histogram().counts_up_to([1000])


async def test_the_page_lists_every_metric(service, autojump_clock):
    """docs/guide/operations.md: name, type and labels of each."""
    page = (Path(__file__).parents[2] / "docs/guide/operations.md").read_text(encoding="utf-8")
    table = page.partition("<!-- metrics -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")][:3] for line in table]
    listed = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    listen(service, "a")
    await trio.sleep(2)
    text = (await scrape(service, is_openmetrics=False)).decode()
    found = {}
    for family in parse_text(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[f"`{name}`"] = (family.type, labels)
    assert listed == found
