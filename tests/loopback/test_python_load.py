"""How much of a core Python takes while a thousand subscriptions flow: its thread alone, workers left out."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sfu.dataplane.commands import VideoLayer
from sfu.loadtest import Options, Progress, run
from tests.support.server import API_KEY, API_SECRET, Server, running_server

pytestmark = [pytest.mark.bench, pytest.mark.slow]

ROOMS, SUBSCRIBERS = 10, 20
AUDIO, VIDEO = 4, 1
"""Per room; every subscriber gets all of them: 10 * 20 * 5 subscriptions."""
SMALL = (VideoLayer(bitrate_bps=150_000, fps=15, height_px=180),)
STEADY_S = 20.0
MAX_SHARE = 0.10


def python_s(server: Server) -> float:
    """Processor time of the server's first thread, which runs the event loop (proc(5), fields 14 and 15)."""
    stat = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


async def test_python_takes_a_tenth_of_a_core_at_1000_subscriptions(tmp_path: Path) -> None:
    measuring = asyncio.Event()

    def heard(progress: Progress) -> None:
        if progress.phase == "measuring":
            measuring.set()

    async with running_server(tmp_path) as server:
        options = Options(
            API_KEY, API_SECRET, url=server.ws_url, rooms=ROOMS, audio_publishers=AUDIO,
            video_publishers=VIDEO, subscribers=SUBSCRIBERS, layers=SMALL,
            duration_s=STEADY_S + 5, joins_per_s=20,
        )  # fmt: skip
        load = asyncio.create_task(run(options, heard))
        await measuring.wait()
        before = python_s(server)
        await asyncio.sleep(STEADY_S)
        share = (python_s(server) - before) / STEADY_S
        report = await load
    assert report.passed, report
    print(f"Python: {share:.1%} of a core at {report.tracks_received} subscriptions")
    assert report.tracks_received == ROOMS * SUBSCRIBERS * (AUDIO + VIDEO)
    assert share < MAX_SHARE
