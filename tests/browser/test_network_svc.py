"""Scalable video of real encoders through a bottleneck: VP9 by its own descriptor, AV1 by the dependency one.

The machine that runs this may have two cores for two browsers: the pictures are chosen to be encoded in time.
The plots are tests/artifacts/svc-vp9.svg and svc-av1.svg.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.needs import need_chromium, need_netns
from tests.support.network_call import ANN, BOB, network_call, shows

pytestmark = [pytest.mark.browser, pytest.mark.netns, pytest.mark.slow]
START_S = 25.0
BACK_S = 15.0
SQUEEZED_S = 10.0
QUEUE_S = 1.0
FREEZE_S = 0.9
"""None to 0.42 s (VP9) and 0.36 to 0.40 (AV1) on an idle machine, where the goal is 0.5. A busy one encodes
fewer and larger frames, which take the narrow path longer: 0.78 s at 15 a second."""
CLIMB_FREEZE_S = 0.5
SAMPLING_S = 0.5


@pytest.mark.parametrize(
    ("codec", "mode", "width", "fps", "camera_bps", "narrow_bps"),
    [
        pytest.param("vp9", "L3T3_KEY", 1280, 20, 1_600_000, 400_000, id="vp9"),
        pytest.param("av1", "L3T3", 960, 20, 800_000, 300_000, id="av1"),
    ],
)
async def test_promise_10_a_smaller_layer_is_sent_in_place_of_a_stall(
    tmp_path: Path, codec: str, mode: str, width: int, fps: int, camera_bps: int, narrow_bps: int
) -> None:
    need_chromium()
    need_netns()
    height = width * 9 // 16
    async with network_call(
        f"svc-{codec}",
        tmp_path,
        seed=11,
        width=width,
        height=height,
        fps=fps,
        codec=codec,
        encodings=[{"scalabilityMode": mode, "maxBitrate": 2_500_000}],
    ) as call:
        assert await call.until(shows(height), call.bob, START_S), "the top layer never came"
        await call.watch(2)
        wide = await call.bottleneck(2_000_000, queue_ms=round(QUEUE_S * 1000))
        await call.watch(4)
        narrowed = await call.bottleneck(narrow_bps, queue_ms=round(QUEUE_S * 1000))
        await call.watch(SQUEEZED_S)
        widened = await call.bottleneck(2_000_000, queue_ms=round(QUEUE_S * 1000))
        back = await call.until(shows(height), call.bob, BACK_S + SAMPLING_S)
        await call.watch(2)
        ended = call.mark("end")
    seen = call.recording
    assert seen.sent_bps(ANN, wide, narrowed) >= camera_bps
    assert seen.heights(BOB, wide, narrowed)[-1][1] == height
    assert min(px for _, px in seen.heights(BOB, narrowed, widened)) < height
    assert seen.frames(BOB, narrowed + 2, widened) >= 3 * (SQUEEZED_S - 2)
    assert back, "the top layer did not come back"
    assert seen.longest_freeze_s(BOB, wide, widened) <= FREEZE_S
    assert seen.longest_freeze_s(BOB, widened, ended) <= CLIMB_FREEZE_S
