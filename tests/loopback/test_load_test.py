"""A whole server under the load test: publishers and subscribers on the packet plane in client role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sfu.loadtest import Options, Progress, run
from sfu.loadtest.network import parse_network
from sfu.loadtest.options import NetworkOf
from tests.support.server import API_KEY, API_SECRET, Server, running_server

CAST = {"audio_publishers": 2, "video_publishers": 1, "subscribers": 3}


def options(server: Server, **changes: Any) -> Options:
    numbers = {**CAST, **changes}
    return Options(API_KEY, API_SECRET, url=server.ws_url, duration_s=1.0, **numbers)


@pytest.mark.parametrize(
    ("workers", "port_per_worker"),
    [(1, False), (2, False), (2, True)],
    ids=["one", "shared port", "own ports"],
)
async def test_every_subscriber_gets_every_track(tmp_path: Path, workers: int, port_per_worker: bool) -> None:
    # One participant per worker in turn: every second subscription crosses a ring.
    async with running_server(
        tmp_path, workers=workers, port_per_worker=port_per_worker, rtc__room_share="1"
    ) as server:
        report = await run(options(server))
    assert report.passed, report
    assert report.loss_ratio == 0
    # Two audio tracks of 50 packets and a picture 30 times a second, for three subscribers.
    assert report.received_packets > 3 * (2 * 45 + 25)
    assert report.joins.media_s.max < 5
    assert report.server_cpu_ratio is not None


async def test_clients_of_several_workers_and_rooms(tmp_path: Path) -> None:
    seen: list[Progress] = []
    async with running_server(tmp_path) as server:
        report = await run(options(server, rooms=2, workers=2), seen.append)
    assert report.passed, report
    assert report.tracks_received == 2 * 3 * 3
    assert {progress.phase for progress in seen} >= {"joining", "measuring", "leaving"}


async def test_clients_on_a_bad_network_see_what_it_does(tmp_path: Path) -> None:
    network = parse_network("down.loss=10%,delay=30ms,jitter=10ms")
    bad = NetworkOf.SUBSCRIBERS
    async with running_server(tmp_path) as server:
        report = await run(
            options(server, network=network, network_of=bad, subscribers=2, video_publishers=0)
        )
    assert report.passed, report
    assert report.network_up is not None
    assert report.network_down is not None
    assert report.network_up.loss_ratio == 0
    assert 0.02 < report.network_down.loss_ratio < 0.25
    assert 0.02 < report.network_down.delay_s < 0.04
    # From the publisher, who has no such network, to a subscriber: its way down.
    assert 20_000 <= report.latency_us.p50 <= 60_000


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("reliable", [True, False], ids=["reliable", "lossy"])
async def test_data_messages_reach_everyone_else(tmp_path: Path, workers: int, reliable: bool) -> None:
    async with running_server(tmp_path, workers=workers, rtc__room_share="1") as server:
        wanted = Options(
            API_KEY, API_SECRET, url=server.ws_url, duration_s=1.0, audio_publishers=0, subscribers=3,
            data_publishers=2, data_rate=50, data_reliable=reliable, workers=workers,
        )  # fmt: skip
        report = await run(wanted)
    assert report.passed, report
    assert report.data is not None
    assert report.data.sent > 2 * 40
    assert report.data.received == report.data.expected == 4 * report.data.sent
    assert report.data.latency_s.p50 < 1


async def test_refusals_are_counted_by_reason(tmp_path: Path) -> None:
    async with running_server(tmp_path, room__max_participants="4") as server:
        report = await run(options(server))
    assert not report.passed
    assert report.joins.failed == {"room_full": 2}
    assert report.joins.succeeded == 4
