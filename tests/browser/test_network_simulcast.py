"""One call over VP8 simulcast through good and bad times; each test judges a part of its recording.

Both clients are Chromium behind the emulator; the plot is tests/artifacts/simulcast.svg.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support.needs import need_chromium, need_netns
from tests.support.network_call import ANN, BOB, UNLIMITED, NetworkCall, network_call, shows
from tests.support.recording import Recording

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.slow]
TOP_PX = 720
START_S = 25.0
"""From the publisher's first packet to all layers: libwebrtc's own start, and probing."""
BACK_S = 15.0
SAMPLING_S = 0.5
SQUEEZED_S = 10.0
FREEZE_S = 0.5
CONCEALED = 0.02


async def scenario(call: NetworkCall) -> None:
    """No limit; 2 Mbit/s, 300 kbit/s, 2 Mbit/s; nothing for two seconds; then loss, delay and jitter."""

    def sends_all(sample: dict[str, object]) -> bool:
        outbound = sample["outbound"]
        assert isinstance(outbound, list)
        heights = {each.get("frameHeight") for each in outbound if each["kind"] == "video"}
        return heights >= {180, 360, 720}

    await call.until(sends_all, call.ann, START_S)
    await call.until(shows(TOP_PX), call.bob, START_S)
    call.mark("no limit")
    await call.watch(6)
    await call.bottleneck(2_000_000, queue_ms=1000)
    await call.watch(5)
    await call.bottleneck(300_000, queue_ms=1000)
    await call.watch(SQUEEZED_S)
    await call.bottleneck(2_000_000, queue_ms=1000)
    await call.until(shows(TOP_PX), call.bob, BACK_S)
    await call.watch(4)
    await call.bob_link.down("down=1")
    await call.bob_link.up("down=1")
    call.mark("outage")
    await call.watch(2)
    await call.bob_link.down(UNLIMITED)
    await call.bob_link.up(UNLIMITED)
    call.mark("link is back")
    await call.watch(6)
    await call.bob_link.down("loss=0.05 delay_ms=20 jitter_ms=30 reorder=1")
    await call.bob_link.up("loss=0.05 delay_ms=50")
    call.mark("5% loss, 100 ms, jitter")
    await call.watch(15)
    call.mark("end")


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The whole call, once."""
    need_chromium()
    need_netns()

    async def run() -> Recording:
        async with network_call("simulcast", tmp_path_factory.mktemp("call"), seed=3, codec="vp8") as made:
            await scenario(made)
        return made.recording

    return asyncio.run(run())


def test_without_a_limit_the_camera_is_worth_2_mbit_and_the_top_layer_is_seen(call: Recording) -> None:
    since, until = call.mark("no limit"), call.mark("no limit") + 6
    assert call.sent_bps(ANN, since, until) >= 2e6
    assert {height for _, height in call.heights(BOB, since, until)} == {TOP_PX}
    assert call.longest_freeze_s(BOB, since, until) == 0
