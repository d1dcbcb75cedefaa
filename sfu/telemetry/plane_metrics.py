"""What the packet plane counted, as Prometheus metrics. Fed every few seconds with the workers' tables.

The plane counts per stream, and forgets a stream when it ends; metrics count per kind and never go back. So
each feeding adds what a row has gained since the one before. What a stream did after the last feeding of its
life is missing; `airside_datagrams` comes from counters of the workers themselves and misses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Column = Sequence[int | float]
Tables = Mapping[str, Mapping[str, Column]]
"""Table, column, rows; as `sfu.dataplane.events.WorkerStats.tables`."""

LOSS_BUCKETS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
JITTER_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
RTT_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
MICROSECONDS = 1e-6
QUANTILES = {"0.5": "p50", "0.99": "p99", "1": "max"}


@dataclass(frozen=True, slots=True)
class _Flow:
    """Rows of one table, and what their columns add to."""

    direction: str
    key: tuple[str, ...]
    """Columns that name a row."""
    counters: Mapping[str, str]
    """Column to metric."""


FLOWS: Mapping[str, _Flow] = {
    "layers": _Flow(
        "in",
        ("track", "layer"),
        {
            "packets": "packets",
            "bytes": "bytes",
            "nacks_sent": "nacked_packets",
            "keyframe_requests": "keyframe_requests",
            "repaired": "repaired_packets",
            "freezes": "freezes",
            "concealed": "concealed_packets",
        },
    ),
    "slots": _Flow(
        "out",
        ("slot",),
        {
            "packets": "packets",
            "bytes": "bytes",
            "nacked": "nacked_packets",
            "keyframe_requests": "keyframe_requests",
            "resent": "repaired_packets",
            "switches": "layer_switches",
            "freezes": "freezes",
            "concealed": "concealed_packets",
        },
    ),
    "transports": _Flow("", ("transport",), {}),
}
DATA_COLUMNS = {"data_messages_received": "in", "data_messages_sent": "out"}
QUALITY_CLASSES = ("lost", "poor", "good", "excellent")
"""By the number that stands for each in the table `quality`."""
HELD_COLUMNS = ("transports", "tracks", "slots", "addresses", "handshakes_waiting")
"""Columns of the worker table that say how much there is now."""
DATAGRAM_COLUMNS = {"received": "in", "sent": "out"}


class PlaneMetrics(Collector):
    """Counters that follow the plane's rows, and the newest figures of its workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._newest: dict[int, Tables] = {}
        self._rows: dict[tuple[int, str], dict[tuple[float, ...], dict[str, float]]] = {}

        def counter(name: str, text: str, labels: tuple[str, ...]) -> Counter:
            return Counter(f"airside_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"airside_{name}", text, labels, buckets=buckets, registry=registry)

        by_kind = ("kind", "direction")
        self._counters = {
            "packets": counter("packets_total", "RTP packets, repairs not counted.", by_kind),
            "bytes": counter("bytes_total", "Bytes of these packets.", by_kind),
            "nacked_packets": counter(
                "nacked_packets_total",
                "Packets asked for again, of publishers (in), by subscribers.",
                by_kind,
            ),
            "repaired_packets": counter(
                "rtx_packets_total", "Lost packets that were sent again, by RTX or as they were.", by_kind
            ),
            "keyframe_requests": counter(
                "plis_total", "Keyframe requests: to publishers (in), of subscribers (out).", by_kind
            ),
            "layer_switches": counter(
                "layer_switches_total",
                "Changes of the layer that a subscriber gets, starts included.",
                by_kind,
            ),
            "freezes": counter(
                "freezes_total", "Pictures that stood still, of publishers (in), at subscribers.", by_kind
            ),
            "concealed_packets": counter(
                "concealed_packets_total", "Packets of sound that decoders had to make up.", by_kind
            ),
        }
        self._data = counter("data_messages_total", "Data messages.", ("direction",))
        self._loss = histogram("loss_ratio", "Share of packets lost, per stream.", LOSS_BUCKETS, *by_kind)
        self._jitter = histogram("jitter_seconds", "Jitter, per stream.", JITTER_BUCKETS_S, *by_kind)
        self._rtt = histogram("rtt_seconds", "Round-trip time, per client.", RTT_BUCKETS_S)
        registry.register(self)

    def update(self, worker: int, tables: Tables) -> None:
        """Take one worker's figures."""
        self._newest[worker] = tables
        for name, flow in FLOWS.items():
            columns = tables.get(name, {})
            known = self._rows.get((worker, name), {})
            fresh: dict[tuple[float, ...], dict[str, float]] = {}
            for row in _rows(columns):
                key = tuple(row[part] for part in flow.key)
                fresh[key] = row
                before = known.get(key, {})
                gained = {column: max(0, value - before.get(column, 0)) for column, value in row.items()}
                self._count(flow, row, gained)
            self._rows[worker, name] = fresh

    def _count(self, flow: _Flow, row: Mapping[str, float], gained: Mapping[str, float]) -> None:
        for column, direction in DATA_COLUMNS.items():
            if gained.get(column):
                self._data.labels(direction).inc(gained[column])
        if _is_measured(row, "rtt_s"):
            self._rtt.observe(row["rtt_s"])
        if not flow.counters:
            return
        labels = ("video" if row["video"] else "audio", flow.direction)
        for column, metric in flow.counters.items():
            if gained.get(column):
                self._counters[metric].labels(*labels).inc(gained[column])
        if not gained["expected"]:
            # Silent, or a mirror of a stream that another worker receives: it measures nothing.
            return
        self._loss.labels(*labels).observe(min(1.0, gained["lost"] / gained["expected"]))
        if _is_measured(row, "jitter_s"):
            self._jitter.labels(*labels).observe(row["jitter_s"])

    def collect(self) -> Iterator[Metric]:
        """As `Collector.collect`."""
        drops = CounterMetricFamily("airside_drops", "Packets that went no further.", labels=("reason",))
        for reason in sorted({reason for each in self._newest.values() for reason in each.get("drops", {})}):
            drops.add_metric((reason,), self._sum("drops", reason) + self._sum("local_rings", reason))
        yield drops
        yield from self._local_rings()
        held = GaugeMetricFamily("airside_plane_held", "What the packet plane holds.", labels=("what",))
        for what in HELD_COLUMNS:
            held.add_metric((what,), self._sum("worker", what))
        yield held
        for unit in ("packets", "bytes"):
            name = "airside_datagrams" if unit == "packets" else "airside_datagram_bytes"
            family = CounterMetricFamily(name, "UDP datagrams of every kind.", labels=("direction",))
            for column, direction in DATAGRAM_COLUMNS.items():
                family.add_metric((direction,), self._sum("loop", f"{column}_{unit}"))
            yield family
        connections = GaugeMetricFamily(
            "airside_connections", "Clients by how good their connection is.", labels=("direction", "quality")
        )
        for (direction, quality), count in self._connections().items():
            connections.add_metric((direction, quality), count)
        yield connections
        yield self._quantiles("worker_lag_seconds", "How late a packet worker ran a timer.", "lag")
        text = "From a batch of datagrams received to what it brings ready to be sent."
        yield self._quantiles("worker_residence_seconds", text, "residence")

    def _local_rings(self) -> Iterator[Metric]:
        """What passes between this process and the agents beside it."""
        rings = GaugeMetricFamily("airside_local_rings", "Rings to agents beside this process.")
        rings.add_metric((), self._sum("local_rings", "rings"))
        yield rings
        packets = CounterMetricFamily(
            "airside_local_ring_packets", "Packets that passed a ring.", labels=("direction",)
        )
        for column, direction in DATAGRAM_COLUMNS.items():
            packets.add_metric((direction,), self._sum("local_rings", f"{column}_packets"))
        yield packets
        broken = CounterMetricFamily("airside_local_rings_broken", "Rings that ended on what an agent wrote.")
        broken.add_metric((), self._sum("local_rings", "broken"))
        yield broken

    def _quantiles(self, name: str, text: str, what: str) -> Metric:
        """Of a time that each worker measures, since its start."""
        family = GaugeMetricFamily(f"airside_{name}", text, labels=("worker", "quantile"))
        for worker, tables in self._newest.items():
            for quantile, column in QUANTILES.items():
                for value in tables.get("loop", {}).get(f"{what}_{column}_us", ()):
                    family.add_metric((str(worker), quantile), value * MICROSECONDS)
        return family

    def _connections(self) -> dict[tuple[str, str], int]:
        counts = {(direction, name): 0 for direction in ("up", "down") for name in QUALITY_CLASSES}
        for tables in self._newest.values():
            columns = tables.get("quality", {})
            for up, number in zip(columns.get("up", ()), columns.get("class", ()), strict=True):
                counts["up" if up else "down", QUALITY_CLASSES[int(number)]] += 1
        return counts

    def _sum(self, table: str, column: str) -> float:
        return math.fsum(
            value for tables in self._newest.values() for value in tables.get(table, {}).get(column, ())
        )


def _rows(columns: Mapping[str, Column]) -> Iterator[dict[str, float]]:
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _is_measured(row: Mapping[str, float], column: str) -> bool:
    return column in row and not math.isnan(row[column])
