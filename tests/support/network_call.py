"""A call of two Chromiums, Ann who sends and Bob who receives, each behind an emulated link of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.calls import Person, camera_flags
from tests.support.camera import noisy_clip
from tests.support.chromium import chromium
from tests.support.emulator import Network, emulated_network
from tests.support.recording import Recording, Sample
from tests.support.server import ROOT, Server, running_server

ARTIFACTS = ROOT / "tests" / "artifacts"
ROOM, ANN, BOB = "lounge", "ann", "bob"
POLL_S = 0.5
UNLIMITED = "rate=0 queue_ms=200 loss=0 delay_ms=0 jitter_ms=0 reorder=0 down=0"


@dataclass
class NetworkCall:
    """Bob hears Ann; `ann_link` and `bob_link` can be made bad. Everything is recorded."""

    server: Server
    ann: Person
    bob: Person
    ann_link: Network
    bob_link: Network
    recording: Recording

    def mark(self, label: str) -> float:
        """Name this moment."""
        now = time.time()
        self.recording.marks.append((now, label))
        return now

    async def bottleneck(self, bits_per_s: int, queue_ms: int) -> float:
        """Narrow the way to Bob; the moment, which is marked."""
        await self.bob_link.down(f"rate={bits_per_s} queue_ms={queue_ms}")
        now = time.time()
        if self.recording.limits:
            self.recording.limits.append((now, self.recording.limits[-1][1]))
        self.recording.limits.append((now, float(bits_per_s)))
        return self.mark(f"{bits_per_s / 1e6:g} Mbit/s")

    async def watch(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def until(self, question: Callable[[Sample], bool], who: Person, timeout_s: float) -> bool:
        """Wait until somebody's newest sample answers yes; False when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            sample = await who.page.evaluate("samples.at(-1) ?? null")
            if sample is not None and question(sample):
                return True
            await asyncio.sleep(POLL_S / 2)
        return False

    async def _poll_server(self) -> None:
        headers = {"Authorization": f"Bearer {self.server.admin_token(ROOM)}"}
        path = f"/api/v1/rooms/{ROOM}/participants/{BOB}/stats"
        async with httpx.AsyncClient(base_url=self.server.url, headers=headers) as client:
            while True:
                answer = await client.get(path)
                if answer.status_code == httpx.codes.OK:
                    figures: dict[str, Any] = answer.json()
                    slots = [slot for slot in figures["subscribed"] if slot["video"]]
                    self.recording.server.append(
                        {"at_s": time.time(), "transport": figures["transport"] or {}, "video": slots}
                    )
                await asyncio.sleep(POLL_S)


def shows(height_px: int) -> Callable[[Sample], bool]:
    """Whether a picture of this height is decoded."""
    return lambda sample: any(stream.get("frameHeight") == height_px for stream in sample["inbound"])


@asynccontextmanager
async def network_call(
    name: str,
    folder: Path,
    *,
    seed: int,
    width: int = 1280,
    height: int = 720,
    fps: int = 20,
    microphone: bool = True,
    **camera: Any,
) -> AsyncIterator[NetworkCall]:
    """Both in the room and Ann's camera on; a recording is in `tests/artifacts` when the block ends."""
    recording = Recording(name)
    clip = noisy_clip(folder / "camera.y4m", width=width, height=height, fps=fps)
    async with AsyncExitStack() as stack:
        ann_link = await stack.enter_async_context(emulated_network(seed))
        bob_link = await stack.enter_async_context(emulated_network(seed + 100))
        server = await stack.enter_async_context(running_server(folder, host=ann_link.space.host_ip))
        sender = chromium(*camera_flags(server.url, clip), space=ann_link.space)
        receiver = chromium(*camera_flags(server.url), space=bob_link.space)
        ann_browser = await stack.enter_async_context(sender)
        bob_browser = await stack.enter_async_context(receiver)
        ann = await Person.join(await ann_browser.page(), server, ROOM, ANN)
        bob = await Person.join(await bob_browser.page(), server, ROOM, BOB)
        call = NetworkCall(server, ann, bob, ann_link, bob_link, recording)
        poll = asyncio.create_task(call._poll_server())
        try:
            if microphone:
                await ann.publish_microphone()
            await ann.publish_camera(width=width, height=height, fps=fps, **camera)
            yield call
        finally:
            poll.cancel()
            for person in (ann, bob):
                recording.people[person.identity] = await person.samples()
            recording.totals = {"ann": await ann_link.totals(), "bob": await bob_link.totals()}
            recording.write(ARTIFACTS)
