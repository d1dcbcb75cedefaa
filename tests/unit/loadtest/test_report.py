"""Readings to figures, figures to a table."""

from __future__ import annotations

import dataclasses
import io
import math

import pytest
from rich.console import Console

from sfu.core.ids import WorkerId
from sfu.dataplane.events import WorkerStats
from sfu.loadtest.report import DataReport, Joins, Quantiles, Reading, Report, as_table, measure

NONE = Quantiles(math.nan, math.nan, math.nan)
JOINS = Joins(10, 9, {"room_full": 1}, Quantiles(0.01, 0.02, 0.02), Quantiles(0.05, 0.09, 0.1), NONE)
BEFORE = Reading(100.0, 1000, 50_000, 10, 0, 2000, 90_000, {100: 900, 200: 100}, 1.0, 5.0)
AFTER = Reading(
    110.0, 11_000, 1_050_000, 110, 3, 22_000, 1_290_000, {100: 9900, 200: 1000, 900: 100}, 3.0, 9.0
)


def report(before: Reading = BEFORE, after: Reading = AFTER) -> Report:
    return measure(before, after, JOINS, ended={}, tracks_expected=5, tracks_received=5)


class TestQuantiles:
    def test_nearest_rank(self) -> None:
        assert Quantiles.of(float(n) for n in range(1, 101)) == Quantiles(50.0, 99.0, 100.0)
        assert Quantiles.of([7.0]) == Quantiles(7.0, 7.0, 7.0)

    def test_of_buckets_they_are_upper_bounds(self) -> None:
        assert Quantiles.of_buckets({100: 50, 200: 49, 5000: 1}) == Quantiles(100, 200, 5000)

    @pytest.mark.parametrize(
        "empty", [Quantiles.of([]), Quantiles.of_buckets({}), Quantiles.of_buckets({5: 0})]
    )
    def test_of_nothing_there_are_none(self, empty: Quantiles) -> None:
        assert all(math.isnan(value) for value in (empty.p50, empty.p99, empty.max))


class TestMeasure:
    def test_rates_are_differences_over_time(self) -> None:
        found = report()
        assert found.received_packets_per_s == 1000.0
        assert found.received_bits_per_s == 800_000.0
        assert found.sent_packets_per_s == 2000.0
        assert found.loss_ratio == pytest.approx(100 / 10_100)
        assert found.gaps == 3
        assert found.client_cpu_ratio == pytest.approx(0.2)

    def test_latency_is_of_the_measured_time_alone(self) -> None:
        assert report().latency_us == Quantiles(100, 200, 900)

    def test_server_time_is_per_packet_received(self) -> None:
        found = report()
        assert found.server_cpu_ratio == pytest.approx(0.4)
        assert found.server_cpu_us_per_packet == pytest.approx(400.0)

    def test_a_server_that_does_not_say_is_left_out(self) -> None:
        found = report(after=dataclasses.replace(AFTER, server_cpu_s=None))
        assert found.server_cpu_ratio is found.server_cpu_us_per_packet is None

    def test_packets_that_come_late_are_no_negative_loss(self) -> None:
        assert report(after=dataclasses.replace(AFTER, lost=0)).loss_ratio == 0.0

    def test_silence_is_no_division_by_zero(self) -> None:
        silent = dataclasses.replace(BEFORE, at_s=101.0)
        assert report(after=silent).loss_ratio == 0.0
        assert report(after=silent).server_cpu_us_per_packet is None

    def test_passed_only_if_nothing_is_missing(self) -> None:
        complete = dataclasses.replace(report(), joins=dataclasses.replace(JOINS, succeeded=10))
        assert complete.passed
        assert not report().passed
        assert not dataclasses.replace(complete, tracks_received=4).passed
        assert not dataclasses.replace(complete, ended={"consent_expired": 1}).passed


def test_a_reading_sums_the_tables_of_all_workers() -> None:
    def worker(number: int) -> WorkerStats:
        return WorkerStats(
            WorkerId(number),
            {
                "meters": {"packets": [1, 2], "bytes": [10, 20], "lost": [0, 1], "gaps_over_60_ms": [0, 0]},
                "meter_latency": {"upper_us": [100, 200], "count": [2, 1]},
                "loop": {"sent_packets": [5], "sent_bytes": [50], "cpu_ns": [1_500_000_000]},
            },
        )

    bare = WorkerStats(WorkerId(2), {"loop": {"sent_packets": [1], "sent_bytes": [1], "cpu_ns": [0]}})
    reading = Reading.of([worker(0), worker(1), bare], 7.0, None)
    assert (reading.received_packets, reading.received_bytes, reading.lost) == (6, 60, 2)
    assert (reading.sent_packets, reading.client_cpu_s) == (11, 3.0)
    assert reading.latency == {100: 4, 200: 2}


def test_data_messages_have_rows_of_their_own() -> None:
    data = DataReport(10, 90, 89, 44.5, Quantiles(0.001, 0.002, 0.003))
    output = io.StringIO()
    Console(file=output, width=120).print(as_table(dataclasses.replace(report(), data=data)))
    for part in ("89 of 90", "10 sent", "44/s", "p50 1.00  p99 2.00"):
        assert part in output.getvalue()
    reading = Reading.of([], 1.0, None, 7)
    assert reading.data_messages == 7


def test_the_table_says_what_people_ask() -> None:
    output = io.StringIO()
    console = Console(file=output, width=120)
    console.print(as_table(dataclasses.replace(report(), ended={"consent_expired": 2})))
    text = output.getvalue()
    for part in (
        "9 of 10",
        "1 room_full",
        "p50 10.00",
        "1,000/s",
        "800.00 kbit/s",
        "0.990%",
        "400.00 us",
        "2 consent_expired",
    ):
        assert part in text
