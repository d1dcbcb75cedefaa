"""Firefox, a foreign stack that nominates aggressively: a minute of call without a path flap."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support import probes
from tests.support.firefox import FirefoxPage, firefox
from tests.support.needs import need_firefox
from tests.support.netns import namespace
from tests.support.server import ROOT, Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.slow]
CALL_S = 60
STEP_S = 5
FRAMES_PER_STEP = 5 * STEP_S  # the fake camera gives about 10 fps and more
MAX_UNCOUNTED = 0.02
"""Of all packets: Firefox counts none of a stream that it cannot place, probes and repairs among them."""


async def transports(server: Server, room: str) -> list[dict[str, Any]]:
    """What the server says of each participant's transport."""
    people = await server.api("GET", f"/rooms/{room}/participants", room=room)
    paths = [f"/rooms/{room}/participants/{person['identity']}/stats" for person in people["participants"]]
    return [(await server.api("GET", path, room=room))["transport"] for path in paths]


async def decoded(page: FirefoxPage) -> int:
    """Video frames decoded so far; a headless tab presents none."""
    counters = await page.evaluate(probes.inbound("video"))
    return int(counters["frames"])


async def test_two_firefox_tabs_talk_for_a_minute(tmp_path: Path) -> None:
    need_firefox()
    with namespace() as space:
        async with running_server(tmp_path, host=space.host_ip) as server, firefox(space) as browser:
            pages: dict[str, FirefoxPage] = {}
            for name in ("Ada", "Bob"):
                pages[name.lower()] = await browser.page(server.page("lounge", name))
            for page in pages.values():
                await page.wait_for(probes.CONNECTED, 60)
                await page.wait_for(f"(async () => (await {probes.inbound('video')}).frames > 5)()", 60)
            before = await transports(server, "lounge")
            for _ in range(CALL_S // STEP_S):
                counts = {name: await decoded(page) for name, page in pages.items()}
                await asyncio.sleep(STEP_S)
                for name, page in pages.items():
                    frames = await decoded(page) - counts[name]
                    assert frames >= FRAMES_PER_STEP, (
                        f"{name} decoded {frames} frames in {STEP_S} s: {await transports(server, 'lounge')}"
                    )
            after = await transports(server, "lounge")
            for path in after:
                assert path["transport_cc_lost"] <= MAX_UNCOUNTED * path["transport_cc_received"], path
            assert [t["path_changes"] for t in after] == [t["path_changes"] for t in before]
            heard = await pages["bob"].evaluate(probes.inbound("audio"))
            assert heard["lost"] == 0
            await pages["bob"].screenshot(ROOT / "tests" / "artifacts" / "firefox.png")
