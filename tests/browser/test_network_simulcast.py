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
WIDTH_PX, TOP_PX, LOW_PX = 1024, 576, 144
FPS = 30
"""As cameras have; frames of 7 kB at 1.7 Mbit/s. Fewer, larger ones take a narrow path too long each."""
START_S = 25.0
"""From the publisher's first packet to all layers: libwebrtc's own start, and probing."""
BACK_S = 15.0
RESIZE_LIMIT_S = 10.0
UPLINK_S = 8.0
LOSS_S = 12.0
QUEUE_S = 1.0
"""How deep the bottleneck is."""
SAMPLING_S = 0.5
SQUEEZED_S = 10.0
FREEZE_S = 0.75
"""0.29 to 0.44 s in six runs on an idle machine; the goal is 0.5. A busy one sends fewer and larger frames:
0.62 at 20 of 720p a second."""
CLIMB_FREEZE_S = 0.5
"""There is no reason for any on the way up."""
REPAIRED_S = 1.0
"""0.32 to 0.46 s in six runs on an idle machine; the goal is 0.5. A busy one had 0.94 s once, until a
keyframe came, while nothing was sent twice yet."""
FROZEN = 0.5
"""0.07 to 0.36 in six runs at 30 frames a second, where a frame that comes 0.18 s late counts already; where
repair is short of means it is more than half."""
RESUMED_S = 0.3
CONCEALED = 0.02
DRAINED_S = 2.5
"""A deep queue filled at 2 Mbit/s before the first report of it, emptied at 300 kbit/s; and sampling."""


async def scenario(call: NetworkCall) -> None:
    """No limit; 2 Mbit/s, 300 kbit/s, 2 Mbit/s; nothing for two seconds; then loss, delay and jitter."""

    def sends_all(sample: dict[str, object]) -> bool:
        outbound = sample["outbound"]
        assert isinstance(outbound, list)
        heights = {each.get("frameHeight") for each in outbound if each["kind"] == "video"}
        return heights >= {LOW_PX, TOP_PX // 2, TOP_PX}

    await call.until(sends_all, call.ann, START_S)
    await call.until(shows(TOP_PX), call.bob, START_S)
    call.mark("no limit")
    await call.watch(6)
    await call.bob.show(LOW_PX * 16 // 9, LOW_PX)
    call.mark("small")
    await call.bob.page.wait_for(picture_of(LOW_PX), RESIZE_LIMIT_S)
    call.mark("small picture")
    await call.watch(1)
    await call.bob.show(WIDTH_PX, TOP_PX)
    call.mark("large")
    await call.bob.page.wait_for(picture_of(TOP_PX), RESIZE_LIMIT_S)
    call.mark("large picture")
    await call.watch(3)
    await call.bottleneck(2_000_000, queue_ms=round(QUEUE_S * 1000))
    await call.watch(5)
    await call.bottleneck(300_000, queue_ms=round(QUEUE_S * 1000))
    await call.watch(SQUEEZED_S)
    await call.bottleneck(2_000_000, queue_ms=round(QUEUE_S * 1000))
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
    await call.watch(LOSS_S)
    call.mark("end of loss")
    await call.bob_link.down(UNLIMITED)
    await call.bob_link.up(UNLIMITED)
    await call.watch(3)
    await call.ann_link.up("rate=600000 queue_ms=500")
    call.mark("uplink 0.6 Mbit/s")
    await call.watch(UPLINK_S)
    call.mark("end")


def picture_of(height_px: int) -> str:
    """Whether the receiver shows a picture of this height."""
    return f"document.querySelector('video').videoHeight === {height_px}"


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The whole call, once."""
    need_chromium()
    need_netns()

    async def run() -> Recording:
        folder = tmp_path_factory.mktemp("call")
        async with network_call(
            "simulcast", folder, seed=3, width=WIDTH_PX, height=TOP_PX, fps=FPS, codec="vp8"
        ) as made:
            await scenario(made)
        return made.recording

    return asyncio.run(run())


def test_without_a_limit_the_camera_is_worth_2_mbit_and_the_top_layer_is_seen(call: Recording) -> None:
    since, until = call.mark("no limit"), call.mark("no limit") + 6
    # Libwebrtc's own start may still be under way in the first seconds; nothing limits Ann later either.
    assert call.sent_bps(ANN, call.mark("large picture"), call.mark("0.3 Mbit/s")) >= 2e6
    assert {height for _, height in call.heights(BOB, since, until)} == {TOP_PX}
    assert call.longest_freeze_s(BOB, since, until) == 0


def test_a_smaller_picture_is_sent_within_a_second_of_the_narrowing(call: Recording) -> None:
    since = call.mark("0.3 Mbit/s")
    layers = [(s["at_s"], slot["layer"]) for s in call.server for slot in s["video"]]
    fallen = next((at for at, layer in layers if at > since and layer < 2), None)
    assert fallen is not None, "the top layer was sent on"
    assert fallen - since <= 1 + 2 * SAMPLING_S
    assert call.longest_freeze_s(BOB, since, since + SQUEEZED_S) <= FREEZE_S
    assert call.frames(BOB, since + 2, since + SQUEEZED_S) >= 3 * (SQUEEZED_S - 2)


def test_promise_38_audio_stays_clean_while_video_is_squeezed(call: Recording) -> None:
    # What was in the path's queue when it narrowed holds everything up until it has passed.
    since = call.mark("0.3 Mbit/s")
    assert call.concealed_share(BOB, since + DRAINED_S, since + SQUEEZED_S) < CONCEALED


def test_the_top_layer_is_back_in_time_and_stays(call: Recording) -> None:
    since, until = call.mark("2 Mbit/s"), call.mark("outage")
    heights = call.heights(BOB, since, until)
    back = next((at for at, height in heights if height == TOP_PX), None)
    assert back is not None, heights
    assert back - since <= BACK_S + SAMPLING_S
    assert call.switches(BOB, back, until) == 0
    assert call.longest_freeze_s(BOB, since, until) <= CLIMB_FREEZE_S


def test_promise_08_sound_is_back_at_once_after_an_outage(call: Recording) -> None:
    since = call.mark("link is back")
    before = call.packets(BOB, since - 1, since, "audio")[-1][1]
    back = next(at for at, packets in call.packets(BOB, since, since + 5, "audio") if packets > before)
    assert back - since <= RESUMED_S + SAMPLING_S
    assert call.concealed_share(BOB, back, back + 4) * 4 <= RESUMED_S, "what was made up since"


def test_promise_02_lost_frames_are_not_heard(call: Recording) -> None:
    since, until = call.mark("5% loss, 100 ms, jitter") + 2, call.mark("end of loss")
    assert call.totals["bob"]["down"]["dropped_random"] > 0
    assert call.concealed_share(BOB, since, until) < CONCEALED
    assert call.mean_concealment_s(BOB, since, until) <= 0.04


def test_promise_01_loss_and_jitter_do_not_stall_the_picture(call: Recording) -> None:
    since, until = call.mark("5% loss, 100 ms, jitter"), call.mark("end of loss")
    assert call.longest_freeze_s(BOB, since, until) <= REPAIRED_S
    assert call.frozen_share(BOB, since, until) <= FROZEN
    assert call.frames(BOB, since, until) >= 5 * LOSS_S


def test_promise_35_the_size_on_screen_chooses_the_layer(call: Recording) -> None:
    assert call.mark("small picture") - call.mark("small") <= 1.0
    assert call.mark("large picture") - call.mark("large") <= 2.0


def test_a_narrow_way_up_costs_layers_and_not_the_call(call: Recording) -> None:
    since, until = call.mark("uplink 0.6 Mbit/s") + 3, call.mark("end")
    assert call.sent_bps(ANN, since, until) <= 700_000
    assert call.frames(BOB, since, until) >= 5 * (until - since)
    assert call.concealed_share(BOB, since, until) < CONCEALED
