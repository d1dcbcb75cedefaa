"""Chromium and the Python client in one room: two stacks, one tone and one picture each way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from sfu.agents import DataReceived, PcmSource, Room, TrackSubscribed, VideoSource
from tests.support import probes
from tests.support.chromium import chromium
from tests.support.needs import need_chromium
from tests.support.server import running_server

pytestmark = pytest.mark.browser
RATE = 48_000
TONE_HZ = 700.0
SIZE = (240, 320)


@asynccontextmanager
async def playing(source: PcmSource, picture: VideoSource) -> AsyncIterator[None]:
    """A tone and a bar that moves, for as long as the block lasts."""

    async def tone() -> None:
        chunk = RATE // 50
        for number in range(50 * 120):
            angle = 2 * np.pi * TONE_HZ * (np.arange(chunk) + number * chunk) / RATE
            await source.write((np.sin(angle) * 12_000).astype(np.int16))

    async def bars() -> None:
        for number in range(15 * 120):
            frame = np.zeros((*SIZE, 3), dtype=np.uint8)
            left = number * 8 % (SIZE[1] - 60)
            frame[:, left : left + 60] = (250, 200, 40)
            picture.write(frame)
            await asyncio.sleep(1 / 15)

    tasks = [asyncio.create_task(tone()), asyncio.create_task(bars())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def gather_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc gathers no 127.0.0.1 by itself; here it gathers nothing else."""
    ice = pytest.importorskip("aioice.ice")
    monkeypatch.setattr(ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


async def test_chromium_and_python_hear_see_and_write_to_each_other(tmp_path: Path) -> None:
    need_chromium()
    async with running_server(tmp_path) as server, chromium() as browser:
        page = await browser.page(server.page("lounge", "Ada"))
        await page.wait_for(probes.CONNECTED)
        async with Room.connect(server.ws_url, server.token("lounge", "bot")) as room:
            microphone, camera = PcmSource(RATE), VideoSource()
            async with playing(microphone, camera):
                await room.publish_audio(microphone)
                await room.publish_video(camera, codec="vp8", width=SIZE[1], height=SIZE[0])
                await page.wait_for(f"{probes.frames('bot')} > 20")
                await page.wait_for(f"(async () => (await {probes.picture_changes('bot')}) > 0.5)()")
                heard = await page.wait_for(
                    f"(async () => {{ const hz = await {probes.dominant_frequency('bot')};"
                    f" return Math.abs(hz - {TONE_HZ}) < 15 && hz; }})()"
                )
                assert abs(heard - TONE_HZ) < 15

                tracks = [track for track in room.tracks.values() if track.subscribed]
                while {track.kind for track in tracks} != {"audio", "video"}:
                    await room.wait_for(TrackSubscribed)
                    tracks = [track for track in room.tracks.values() if track.subscribed]
                async with asyncio.timeout(30):
                    sound = next(track for track in tracks if track.kind == "audio")
                    async for frame in sound.audio():
                        if np.abs(frame.data.astype(np.int32)).max() > 1000:
                            break
                    picture = next(track for track in tracks if track.kind == "video")
                    seen = 0
                    async for image in picture.video():
                        assert image.width * image.height > 0
                        seen += 1
                        if seen == 20:
                            break

                waiting = asyncio.create_task(room.wait_for(DataReceived, lambda e: e.topic == "chat"))
                await asyncio.sleep(0)
                await page.evaluate("airside.sendData('hello bot', { topic: 'chat' })")
                assert (await waiting).payload == b"hello bot"
                await page.evaluate("airside.addEventListener('data', (e) => { globalThis.got = e.detail; })")
                await room.send_data(b"hello page", topic="answer", reliable=False)
                text = "globalThis.got && [got.topic, got.sender, new TextDecoder().decode(got.payload)]"
                assert await page.wait_for(text) == ["answer", "bot", "hello page"], json.dumps(page.console)
