"""A narrow network explains itself: on the page, in the API, and in the room's view of who suffers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import probes
from tests.support.calls import camera_flags
from tests.support.camera import noisy_clip
from tests.support.chromium import chromium
from tests.support.emulator import emulated_network
from tests.support.needs import need_chromium, need_netns
from tests.support.server import ROOT, Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.slow]
NARROW_BPS = 400_000
"""Sound and a small picture of a camera that is hard to encode."""
REASON = r"(\d+p.*|paused): the link gives \d+ kbit/s, .* needs \d+"
"""For Python and JavaScript."""
NUMBERS = "document.querySelector('.tile[data-identity^=ada] .numbers').textContent"


async def test_the_page_and_the_api_say_why_a_picture_is_small(tmp_path: Path) -> None:
    need_chromium()
    need_netns()
    clip = noisy_clip(tmp_path / "camera.y4m", width=1280, height=720, fps=15)
    async with emulated_network(5) as link, running_server(tmp_path, host=link.space.host_ip) as server:
        there = chromium(*camera_flags(server.url), space=link.space)
        async with chromium(*camera_flags(server.url, clip)) as here, there as behind:
            await here.page(server.page("lounge", "Ada"))
            bob = await behind.page(server.page("lounge", "Bob"))
            await bob.wait_for(f"{probes.frames('ada')} > 20", 40)
            size = "{ width: '1280px', height: '720px' }"
            await bob.evaluate(f"Object.assign({probes.remote_video('ada')}.style, {size}).height")

            await link.down(f"rate={NARROW_BPS} queue_ms=400")
            # The decision may change between two looks: each look is whole in itself.
            await bob.wait_for(f"new RegExp({json.dumps(REASON)}).test({NUMBERS})", 30)
            await bob.wait_for("airside.me.quality !== 'excellent'", 30)
            await bob.screenshot(ROOT / "tests" / "artifacts" / "reason.png")
            async with asyncio.timeout(30):
                while True:
                    stats = await figures(server, "bob")
                    (allocation,) = (row["allocation"] for row in stats["subscribed"] if row["video"])
                    if re.fullmatch(REASON, allocation["message"]):
                        break
                    await asyncio.sleep(0.5)
            assert allocation["estimate_bps"] < 2 * NARROW_BPS
            assert stats["quality"]["down"]["quality"] != "excellent"
            assert stats["quality"]["up"]["loss_ratio"] == 0


async def figures(server: Server, name: str) -> Any:
    """What the API says about somebody."""
    people = (await server.api("GET", "/rooms/lounge/participants", room="lounge"))["participants"]
    identity = next(each["identity"] for each in people if each["identity"].startswith(name))
    return await server.api("GET", f"/rooms/lounge/participants/{identity}/stats", room="lounge")
