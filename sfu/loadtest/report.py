"""What a load test found: figures of two moments to rates, quantiles and a table. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from sfu.dataplane.events import WorkerStats


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of times; NaN where there were none."""

    p50: float
    p99: float
    max: float

    @staticmethod
    def of(values: Iterable[float]) -> Quantiles:
        """Exact ones, by nearest rank."""
        ordered = sorted(values)
        if not ordered:
            return Quantiles(math.nan, math.nan, math.nan)

        def rank(share: float) -> float:
            return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

        return Quantiles(rank(0.5), rank(0.99), ordered[-1])

    @staticmethod
    def of_buckets(buckets: Mapping[int, int]) -> Quantiles:
        """From counts by upper bound: right within the width of a bucket."""
        total = sum(buckets.values())
        if total <= 0:
            return Quantiles(math.nan, math.nan, math.nan)
        ordered = sorted(bound for bound, count in buckets.items() if count > 0)

        def rank(share: float) -> float:
            seen = 0
            for bound in ordered:
                seen += buckets[bound]
                if seen >= share * total:
                    return bound
            return ordered[-1]

        return Quantiles(rank(0.5), rank(0.99), ordered[-1])


@dataclass(frozen=True, slots=True)
class WayTotals:
    """What the emulated networks of all clients did in one direction so far."""

    sent: int = 0
    """Datagrams put in."""
    delivered: int = 0
    lost: int = 0
    """By the dice."""
    overflowed: int = 0
    """At the full queue of a bottleneck."""
    delay_s: float = 0.0
    """Of all delivered ones together."""
    longest_queue_s: float = 0.0
    """Since the start."""

    @staticmethod
    def of(workers: Sequence[WorkerStats], row: int) -> WayTotals:
        """Row 0 of the table is up, row 1 down."""
        rows = [worker.rows("network")[row] for worker in workers if worker.tables.get("network")]
        return WayTotals(
            sent=sum(int(each["sent"]) for each in rows),
            delivered=sum(int(each["delivered"]) for each in rows),
            lost=sum(int(each["dropped_random"]) for each in rows),
            overflowed=sum(int(each["dropped_queue"]) for each in rows),
            delay_s=sum(each["delay_sum_us"] for each in rows) / 1e6,
            longest_queue_s=max((each["longest_queue_us"] for each in rows), default=0) / 1e6,
        )


@dataclass(frozen=True, slots=True)
class WayFigures:
    """What the emulated networks did in the measured time, in one direction."""

    sent: int
    loss_ratio: float
    """By the dice, of all that was sent."""
    overflow_ratio: float
    """Dropped by a full queue."""
    delay_s: float
    """Mean."""
    longest_queue_s: float
    """Since the start."""

    @staticmethod
    def between(before: WayTotals, after: WayTotals) -> WayFigures | None:
        """None when nothing passed a network."""
        sent = after.sent - before.sent
        delivered = after.delivered - before.delivered
        if not sent:
            return None
        return WayFigures(
            sent=sent,
            loss_ratio=(after.lost - before.lost) / sent,
            overflow_ratio=(after.overflowed - before.overflowed) / sent,
            delay_s=(after.delay_s - before.delay_s) / delivered if delivered else math.nan,
            longest_queue_s=after.longest_queue_s,
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that counts up, at one moment."""

    at_s: float
    """On the monotonic clock."""
    received_packets: int
    received_bytes: int
    lost: int
    gaps: int
    """Above 60 ms between two packets of a track."""
    sent_packets: int
    """By the clients, RTCP and retransmissions included."""
    sent_bytes: int
    latency: Mapping[int, int]
    """Packets by upper bound in microseconds."""
    client_cpu_s: float
    server_cpu_s: float | None = None
    up: WayTotals = WayTotals()
    """What the emulated networks did to what clients send; next, to what they receive."""
    down: WayTotals = WayTotals()
    data_messages: int = 0
    """Received."""

    @staticmethod
    def of(
        workers: Sequence[WorkerStats], at_s: float, server_cpu_s: float | None, data_messages: int = 0
    ) -> Reading:
        """From the tables of the clients' plane."""

        def total(table: str, column: str) -> int:
            return int(sum(worker.total(table, column) for worker in workers))

        latency: Counter[int] = Counter()
        for worker in workers:
            table = worker.tables.get("meter_latency", {})
            for bound, count in zip(table.get("upper_us", ()), table.get("count", ()), strict=True):
                latency[int(bound)] += int(count)
        return Reading(
            at_s=at_s,
            received_packets=total("meters", "packets"),
            received_bytes=total("meters", "bytes"),
            lost=total("meters", "lost"),
            gaps=total("meters", "gaps_over_60_ms"),
            sent_packets=total("loop", "sent_packets"),
            sent_bytes=total("loop", "sent_bytes"),
            latency=latency,
            client_cpu_s=total("loop", "cpu_ns") / 1e9,
            server_cpu_s=server_cpu_s,
            up=WayTotals.of(workers, 0),
            down=WayTotals.of(workers, 1),
            data_messages=data_messages,
        )


@dataclass(frozen=True, slots=True)
class DataReport:
    """What became of the data messages."""

    sent: int
    expected: int
    """Arrivals: each message once at everyone else."""
    received: int
    received_per_s: float
    latency_s: Quantiles
    """From the sender's program to the receiver's; of a sample."""


@dataclass(frozen=True, slots=True)
class Joins:
    """How the clients got in."""

    wanted: int
    succeeded: int
    failed: Mapping[str, int]
    """By reason."""
    joined_s: Quantiles
    """From opening the WebSocket to the answer."""
    connected_s: Quantiles
    """To the end of DTLS."""
    media_s: Quantiles
    """To the first packet, of clients that receive."""


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome."""

    joins: Joins
    ended: Mapping[str, int]
    """Clients that ended before the end, by reason."""
    tracks_expected: int
    """Received streams there should be."""
    tracks_received: int
    measured_s: float
    received_packets: int
    received_packets_per_s: float
    received_bits_per_s: float
    sent_packets_per_s: float
    loss_ratio: float
    gaps: int
    latency_us: Quantiles
    client_cpu_ratio: float
    """Cores that this program's media took."""
    server_cpu_ratio: float | None
    """Cores that the server took."""
    server_cpu_us_per_packet: float | None
    """For each packet that reached a subscriber."""
    network_up: WayFigures | None = None
    """What emulated networks did to what clients sent; next, to what they received."""
    network_down: WayFigures | None = None
    warnings: tuple[str, ...] = field(default=())
    data: DataReport | None = None
    """None where no data was sent."""

    @property
    def passed(self) -> bool:
        """Everybody got in, stayed, and got every track."""
        complete = self.tracks_received == self.tracks_expected
        return self.joins.succeeded == self.joins.wanted and not self.ended and complete


def measure(
    before: Reading,
    after: Reading,
    joins: Joins,
    *,
    ended: Mapping[str, int],
    tracks_expected: int,
    tracks_received: int,
    data: DataReport | None = None,
) -> Report:
    """The difference of two readings."""
    seconds = after.at_s - before.at_s
    packets = after.received_packets - before.received_packets
    # A packet counted as missing may come late.
    lost = max(0, after.lost - before.lost)
    latency = {bound: count - before.latency.get(bound, 0) for bound, count in after.latency.items()}
    server_s = None
    if before.server_cpu_s is not None and after.server_cpu_s is not None:
        server_s = after.server_cpu_s - before.server_cpu_s
    client_ratio = (after.client_cpu_s - before.client_cpu_s) / seconds
    return Report(
        joins=joins,
        ended=ended,
        tracks_expected=tracks_expected,
        tracks_received=tracks_received,
        measured_s=seconds,
        received_packets=packets,
        received_packets_per_s=packets / seconds,
        received_bits_per_s=(after.received_bytes - before.received_bytes) * 8 / seconds,
        sent_packets_per_s=(after.sent_packets - before.sent_packets) / seconds,
        loss_ratio=lost / (packets + lost) if packets + lost else 0.0,
        gaps=after.gaps - before.gaps,
        latency_us=Quantiles.of_buckets(latency),
        client_cpu_ratio=client_ratio,
        server_cpu_ratio=None if server_s is None else server_s / seconds,
        server_cpu_us_per_packet=server_s * 1e6 / packets if server_s is not None and packets else None,
        network_up=WayFigures.between(before.up, after.up),
        network_down=WayFigures.between(before.down, after.down),
        data=data,
    )


def as_table(report: Report) -> Table:
    """For people."""
    table = Table(title="Load test", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")

    def row(name: str, value: str, note: str = "") -> None:
        table.add_row(name, value, note)

    joins = report.joins
    failed = ", ".join(f"{count} {reason}" for reason, count in sorted(joins.failed.items()))
    row("joined", f"{joins.succeeded} of {joins.wanted}", failed)
    for name, times in (
        ("join answered", joins.joined_s),
        ("transport connected", joins.connected_s),
        ("first packet", joins.media_s),
    ):
        row(name, _times(times, 1000, "ms"))
    if report.ended:
        row("ended early", ", ".join(f"{count} {reason}" for reason, count in sorted(report.ended.items())))
    row("tracks received", f"{report.tracks_received} of {report.tracks_expected}")
    row("packets received", f"{report.received_packets_per_s:,.0f}/s", f"{report.received_packets:,} in all")
    row("bitrate received", _bits(report.received_bits_per_s), "payload")
    row("packets sent", f"{report.sent_packets_per_s:,.0f}/s", "by the clients")
    row("loss", f"{report.loss_ratio:.3%}", "seen by meters")
    for name, way in (("network up", report.network_up), ("network down", report.network_down)):
        if way is not None:
            row(name, f"{way.loss_ratio:.3%} lost", f"emulated, of {way.sent:,} datagrams")
            row(
                "",
                f"{way.overflow_ratio:.3%} overflowed",
                f"longest queue {way.longest_queue_s * 1000:.0f} ms",
            )
            row("", f"{way.delay_s * 1000:.1f} ms", "mean delay, queue included")
    row("gaps over 60 ms", f"{report.gaps:,}")
    row("latency", _times(report.latency_us, 0.001, "ms"), "generator to meter")
    if report.data is not None:
        data = report.data
        row("data messages", f"{data.received:,} of {data.expected:,}", f"{data.sent:,} sent")
        row("data messages received", f"{data.received_per_s:,.0f}/s")
        row("data latency", _times(data.latency_s, 1000, "ms"), "from program to program")
    if report.server_cpu_ratio is not None:
        row("server processor", f"{report.server_cpu_ratio:.1%}", "of one core")
    if report.server_cpu_us_per_packet is not None:
        row("server processor", f"{report.server_cpu_us_per_packet:.2f} us", "per packet received")
    row("clients' processor", f"{report.client_cpu_ratio:.1%}", "of one core, media alone")
    return table


def _times(times: Quantiles, factor: float, unit: str) -> str:
    if math.isnan(times.p50):
        return "-"
    p50, p99, longest = (f"{value * factor:,.2f}" for value in (times.p50, times.p99, times.max))
    return f"p50 {p50}  p99 {p99}  max {longest} {unit}"


def _bits(per_s: float) -> str:
    for unit, size in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if per_s >= size:
            return f"{per_s / size:,.2f} {unit}"
    return f"{per_s:,.0f} bit/s"
