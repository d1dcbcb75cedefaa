"""What the packet plane counted, as Prometheus metrics. Fed now and then with the workers' tables.

Counters of a worker only grow, so the newest reading is exposed as it is. Measurements (loss, jitter,
round-trip time) are put into histograms at each feeding: one observation per row and reading.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Tables = Mapping[str, Mapping[str, Sequence[int | float]]]
"""Table, column, rows; as `sfu.dataplane.events.WorkerStats.tables`."""

LOSS_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
JITTER_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
RTT_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)

WORKER_TABLE, DROPS_TABLE = "worker", "drops"

# Metric, its help, and for each column of the worker table the labels it stands for.
COUNTERS: tuple[tuple[str, str, tuple[str, ...], Mapping[str, tuple[str, ...]]], ...] = (
    (
        "airside_packets",
        "RTP packets.",
        ("kind", "direction"),
        {
            f"{kind}_packets_{way}": (kind, way)
            for kind in ("audio", "video", "rtcp")
            for way in ("in", "out")
        },
    ),
    (
        "airside_bytes",
        "Bytes of RTP packets on the wire, without UDP and IP.",
        ("kind", "direction"),
        {f"{kind}_bytes_{way}": (kind, way) for kind in ("audio", "video", "rtcp") for way in ("in", "out")},
    ),
    (
        "airside_data_messages",
        "Data messages.",
        ("direction",),
        {f"data_messages_{way}": (way,) for way in ("in", "out")},
    ),
    (
        "airside_nacks",
        "Packets asked for again: in by subscribers, out of publishers.",
        ("direction",),
        {f"nacks_{way}": (way,) for way in ("in", "out")},
    ),
    (
        "airside_plis",
        "Keyframe requests: in from subscribers, out to publishers.",
        ("direction",),
        {f"plis_{way}": (way,) for way in ("in", "out")},
    ),
    (
        "airside_rtx_packets",
        "Retransmitted packets: in from publishers, out to subscribers.",
        ("direction",),
        {f"rtx_packets_{way}": (way,) for way in ("in", "out")},
    ),
)
LAG_COLUMN = "lag_s"
HELD = ("transports", "tracks", "slots", "addresses", "handshakes_waiting")
"""Columns of the worker table that say how much there is now."""

# Columns with measurements, by histogram.
LOSS_COLUMNS, JITTER_COLUMNS, RTT_COLUMNS = ("loss",), ("jitter_s",), ("rtt_s",)
DIRECTIONS = {"layers": "in", "slots": "out", "transports": "out"}
"""Tables with a row per stream, and whose quality they speak of."""


class PlaneMetrics(Collector):
    """The newest tables of each worker, exposed on scrape."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tables: dict[int, Tables] = {}

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"airside_{name}", text, ("direction",), buckets=buckets, registry=registry)

        self._histograms = (
            (LOSS_COLUMNS, histogram("loss_ratio", "Share of packets lost, per stream.", LOSS_BUCKETS)),
            (
                JITTER_COLUMNS,
                histogram("jitter_seconds", "Jitter, per stream.", JITTER_BUCKETS_S),
            ),
            (RTT_COLUMNS, histogram("rtt_seconds", "Round-trip time to clients.", RTT_BUCKETS_S)),
        )
        registry.register(self)

    def update(self, worker: int, tables: Tables) -> None:
        """Take one worker's figures."""
        self._tables[worker] = tables
        for table, direction in DIRECTIONS.items():
            columns = tables.get(table, {})
            for names, histogram in self._histograms:
                for name in names:
                    for value in columns.get(name, ()):
                        if not math.isnan(value):
                            histogram.labels(direction).observe(value)

    def collect(self) -> Iterator[Metric]:
        """As `Collector.collect`."""
        for name, text, labels, columns in COUNTERS:
            family = CounterMetricFamily(name, text, labels=labels)
            for column, values in columns.items():
                total = self._total(WORKER_TABLE, column)
                if total is not None:
                    family.add_metric(values, total)
            yield family
        drops = CounterMetricFamily("airside_drops", "Packets that went no further.", labels=("reason",))
        for reason in sorted(
            {reason for each in self._tables.values() for reason in each.get(DROPS_TABLE, {})}
        ):
            drops.add_metric((reason,), self._total(DROPS_TABLE, reason) or 0)
        yield drops
        held = GaugeMetricFamily("airside_plane_held", "What the packet plane holds.", labels=("what",))
        for what in HELD:
            if (number := self._total(WORKER_TABLE, what)) is not None:
                held.add_metric((what,), number)
        yield held
        lag = GaugeMetricFamily(
            "airside_worker_lag_seconds",
            "Longest turn of a worker since the last reading.",
            labels=("worker",),
        )
        for worker, tables in self._tables.items():
            for value in tables.get(WORKER_TABLE, {}).get(LAG_COLUMN, ()):
                lag.add_metric((str(worker),), value)
        yield lag

    def _total(self, table: str, column: str) -> float | None:
        """Sum over workers; None while nobody has such a column."""
        found = [
            value
            for tables in self._tables.values()
            for value in tables.get(table, {}).get(column, ())
            if not math.isnan(value)
        ]
        return math.fsum(found) if found else None
