"""What the API and the metrics say about a participant's network, beside what that network did.

Every packet is accounted for on a virtual clock in dataplane/engine/tests/scenarios/quality.rs; here the
figures go all the way.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from sfu.loadtest import Options, Progress, run
from sfu.loadtest.network import parse_network
from sfu.loadtest.options import NetworkOf
from tests.support.server import API_KEY, API_SECRET, Server, running_server

LOSS, DELAY_S, JITTER_S = 0.03, 0.12, 0.03
MEASURED_S = 14.0
"""Two windows of 5 s at least; about 9000 packets, 270 of them lost."""
READING_S = 0.5


class Readings:
    """The publisher's figures, again and again while the load test measures."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.measuring = asyncio.Event()
        self.stats: list[dict[str, Any]] = []
        self.metrics = ""

    def heard(self, progress: Progress) -> None:
        """A listener of the load test."""
        if progress.phase == "measuring":
            self.measuring.set()

    async def keep(self) -> None:
        """Until cancelled."""
        await self.measuring.wait()
        people = (await self.server.api("GET", "/rooms/load/participants", room="load"))["participants"]
        publisher = next(person["identity"] for person in people if person["tracks"])
        while True:
            path = f"/rooms/load/participants/{publisher}/stats"
            self.stats.append(await self.server.api("GET", path, room="load"))
            self.metrics = await self.server.metrics()
            await asyncio.sleep(READING_S)

    def gained(self, column: str) -> int:
        """By all layers it publishes, from the first reading to the last."""
        first, last = (
            sum(row[column] for row in each["published"]) for each in (self.stats[0], self.stats[-1])
        )
        return int(last - first)


@pytest.mark.slow
async def test_promise_26_a_publishers_figures_by_api_and_metrics(tmp_path: Path) -> None:
    bad = parse_network(
        f"loss={LOSS:.0%},delay={DELAY_S * 1000:.0f}ms,jitter={JITTER_S * 1000:.0f}ms,reorder"
    )
    wanted: dict[str, Any] = {"audio_publishers": 0, "video_publishers": 1, "subscribers": 1}
    async with running_server(tmp_path, http__metrics_interval_s="1") as server:
        readings = Readings(server)
        reading = asyncio.create_task(readings.keep())
        report = await run(
            Options(
                API_KEY, API_SECRET, url=server.ws_url, duration_s=MEASURED_S, network=bad,
                network_of=NetworkOf.PUBLISHERS, seed=7, **wanted,
            ),
            readings.heard,
        )  # fmt: skip
        reading.cancel()
    assert report.network_up is not None
    assert report.network_down is not None
    loss = readings.gained("lost") / readings.gained("expected")
    # The two count from and to moments that lie a second apart, so this is no place for ten percent.
    assert loss == pytest.approx(report.network_up.loss_ratio, rel=0.25)
    # Its first reports, or those that answer them, may be lost.
    rtts_s = [each["transport"]["rtt_s"] for each in readings.stats if each["transport"]["rtt_s"] is not None]
    assert len(rtts_s) > len(readings.stats) / 2
    rtt_s = mean(rtts_s[2:])
    assert rtt_s == pytest.approx(report.network_up.delay_s + report.network_down.delay_s, rel=0.15)
    quality = readings.stats[-1]["quality"]
    assert quality["down"] is None, "it receives nothing"
    # Nothing is lost after repair, and half a round trip of 0.2 s is not much: see quality/score.rs.
    assert quality["up"]["quality"] in ("excellent", "good")
    assert quality["up"]["loss_ratio"] == pytest.approx(LOSS, rel=0.5)
    assert quality["up"]["unrepaired"] < quality["up"]["lost"]
    assert quality["up"]["bitrate_bps"] > 1e6
    assert quality["up"]["jitter_s"] > 0.003
    counted = re.findall(r'airside_connections\{direction="up",quality="(\w+)"\} 1\.0', readings.metrics)
    assert len(counted) == 1, "the subscriber publishes nothing"
    assert 'airside_loss_ratio_bucket{direction="in",kind="video",le="0.05"}' in readings.metrics
