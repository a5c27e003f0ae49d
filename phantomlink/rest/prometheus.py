"""`GET /metrics` for Prometheus: what the sessions count, as text, without a name of any session.

Counters hold what ended sessions had counted, so they never go back while the server runs. Every
label has a handful of values, `dataset` at most `MAX_DATASETS` and "". The edges of the
histograms are edges of our own buckets (2**k - 1 ns), so their counts are exact.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from phantomlink import __version__
from phantomlink.engine.counters import WEBSOCKET, Counters
from phantomlink.engine.session import Session
from phantomlink.metrics import Histogram
from phantomlink.outputs.decoders.client_input import MESSAGE_OUTCOMES
from phantomlink.outputs.decoders.kind import messages_of
from phantomlink.scheduling.loop_budget import LoopBudget
from phantomlink.service.service import Service

TRANSPORTS = (WEBSOCKET, "lsl", "brand")
"""Every value of the label `transport`: 0 is said of those that nobody uses."""
SLOW_CLIENT = "slow_client"
"""A value of the label `reason`: the client's queue was full."""
INJECTED = "injected"
"""A value of the label `reason`: a perturbation lost it, to all clients at once: counted once."""
MAX_DATASETS = 50
"""Datasets that are named by a label, those of the most sessions; what others count is under ""."""
EDGES_NS = tuple(2**k - 1 for k in range(10, 32))
"""Upper edges of the published buckets, 1 us to 2 s."""

_END = b"# EOF\n"
_EDGES = tuple(str(edge_ns / 1e9) for edge_ns in EDGES_NS)


class Gauges:
    """The state of the sessions that there are.

    Attributes:
        sessions: how many.
        by_dataset: sessions by the name of their dataset.
        clients: listeners by transport.
        depth: fewest bins that any playhead that plays had ahead when it last used up a block;
            None when none plays, or has not yet.
    """

    __slots__ = ("by_dataset", "clients", "depth", "sessions")

    def __init__(self) -> None:
        self.sessions = 0
        self.by_dataset: Counter[str] = Counter()
        self.clients: Counter[str] = Counter()
        self.depth: int | None = None

    def add(self, session: Session) -> None:
        """Take in one session."""
        self.sessions += 1
        self.by_dataset[session.recording.dataset] += 1
        for playback in session.playbacks().values():
            for sink in playback.fanout:
                if sink.is_listening:
                    self.clients[sink.transport] += 1
            depth = playback.timing.latest_depth
            if playback.is_playing and depth is not None:
                self.depth = depth if self.depth is None else min(self.depth, depth)


async def scrape(service: Service, *, is_openmetrics: bool) -> bytes:
    """The metrics now, as text for Prometheus. A tick that is due comes in between.

    Args:
        service: the running service.
        is_openmetrics: whether in the form of OpenMetrics, not the older one.
    """
    sums, sessions = service.registry.ledger.open(service.registry)
    gauges, turn = Gauges(), LoopBudget()
    for session in sessions:
        session.counters.add_to(sums)
        if not session.is_closed:
            gauges.add(session)
        if turn.is_over:
            await turn.end()
    parts = []
    for metric in families(sums, gauges, messages_of(service.outputs)):
        parts.append(exposition(metric, is_openmetrics=is_openmetrics))
        if turn.is_over:
            await turn.end()
    return b"".join(parts) + (_END if is_openmetrics else b"")


def families(sums: Counters, gauges: Gauges, messages: Mapping[str, int]) -> list[Metric]:
    """Every metric, in the order in which it is published."""
    sent = CounterMetricFamily(
        "phantomlink_packets_sent",
        "Packets that a transport has taken, one for each client that had it.",
        labels=["transport"],
    )
    clients = GaugeMetricFamily(
        "phantomlink_clients", "Clients that listen now.", labels=["transport"]
    )
    for transport in TRANSPORTS:
        sent.add_metric([transport], sums.delivery(transport).sent)
        clients.add_metric([transport], gauges.clients[transport])
    dropped = CounterMetricFamily(
        "phantomlink_packets_dropped",
        "Packets that did not reach a client, by reason.",
        labels=["reason"],
    )
    dropped.add_metric([SLOW_CLIENT], sums.dropped)
    dropped.add_metric([INJECTED], sums.ticks.injected.lost)
    received = CounterMetricFamily(
        "phantomlink_messages",
        "Messages of clients on streams, by outcome; predictions that are scored: scored.",
        labels=["outcome"],
    )
    for outcome in MESSAGE_OUTCOMES:
        received.add_metric([outcome], messages.get(outcome, 0))
    played = GaugeMetricFamily(
        "phantomlink_dataset_sessions", "Sessions now, by their dataset.", labels=["dataset"]
    )
    most = gauges.by_dataset.most_common()
    for name, count in most[:MAX_DATASETS]:
        played.add_metric([name], count)
    if rest := most[MAX_DATASETS:]:
        played.add_metric([""], sum(count for _, count in rest))
    depth = GaugeMetricFamily(
        "phantomlink_prefetch_depth_bins",
        "Fewest bins read ahead of a playhead that plays, when it last used up a block.",
    )
    if gauges.depth is not None:
        depth.add_metric([], gauges.depth)
    return [
        _histogram(
            "phantomlink_tick_lateness_seconds",
            "How late packets left the scheduler: release minus deadline.",
            sums.ticks.lateness,
        ),
        _histogram(
            "phantomlink_send_seconds",
            "From a packet's offer to a WebSocket client to its having been taken.",
            sums.delivery(WEBSOCKET).latency,
        ),
        sent,
        dropped,
        _counter(
            "phantomlink_slow_clients",
            "Clients that lost packets, or were closed with 4408, because they were too slow.",
            sums.slow,
        ),
        _counter(
            "phantomlink_stalls",
            "Ticks that were too late to be caught up: the grid of deadlines moved.",
            sums.ticks.stalls,
        ),
        _counter(
            "phantomlink_overruns",
            "Packets that were not ready at their deadline.",
            sums.ticks.overruns,
        ),
        GaugeMetricFamily("phantomlink_sessions", "Sessions now.", value=gauges.sessions),
        played,
        clients,
        depth,
        received,
        InfoMetricFamily(
            "phantomlink_build",
            "The version that runs.",
            value={"version": __version__, "python": platform.python_version()},
        ),
    ]


def exposition(metric: Metric, *, is_openmetrics: bool) -> bytes:
    """One metric in one of the two text forms, without the end mark of OpenMetrics."""
    text = generate_openmetrics if is_openmetrics else generate_latest
    return bytes(text(_One(metric))).removesuffix(_END)


class _One(Collector):
    """A metric that has been collected."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """As given."""
        return [self._metric]


def _counter(name: str, documentation: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(name, documentation, value=value)


def _histogram(name: str, documentation: str, histogram: Histogram) -> HistogramMetricFamily:
    counts = histogram.counts_up_to(EDGES_NS)
    buckets = [*zip(_EDGES, map(float, counts), strict=True), ("+Inf", float(histogram.count))]
    return HistogramMetricFamily(
        name, documentation, buckets=buckets, sum_value=histogram.sum_ns / 1e9
    )
