"""Layers inside one stream, from one real encoder to another's decoder: down and up at the viewer's size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.calls import Person, camera_flags
from tests.support.camera import noisy_clip
from tests.support.chromium import chromium
from tests.support.needs import need_chromium
from tests.support.server import running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOM = "lounge"
FPS = 10
FIRST_S = 60.0
"""Until all layers come: a software encoder on a busy machine begins small."""
SWITCH_S = 20.0
STILL_S = 3.0
"""A picture must move on within this; the machine may be busy, a stream that cannot be decoded stays."""
SIZE = (
    "Math.max(0, ...samples.at(-1).inbound.filter((s) => s.kind === 'video').map((s) => s.frameHeight ?? 0))"
)
PLAIN_CALL = """(async () => {
  const here = new RTCPeerConnection(), there = new RTCPeerConnection();
  here.onicecandidate = ({ candidate }) => candidate && there.addIceCandidate(candidate);
  there.onicecandidate = ({ candidate }) => candidate && here.addIceCandidate(candidate);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  here.addTransceiver(microphone.getTracks()[0], { direction: 'sendonly' });
  await here.setLocalDescription();
  await there.setRemoteDescription(here.localDescription);
  await there.setLocalDescription();
  await here.setRemoteDescription(there.localDescription);
  for (;;) {
    const heard = [...(await there.getStats()).values()].find((s) => s.type === 'inbound-rtp');
    if (heard?.packetsReceived >= 100) {
      here.close();
      there.close();
      return heard;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
})()"""
"""What a receiver counts of the fake microphone without RED, which browsers do not choose by themselves."""


HEARD = """(async () =>
  [...(await airside._pc.getStats()).values()].find((s) => s.type === 'inbound-rtp' && s.kind === 'audio')
)()"""


def repeated(heard: dict[str, Any]) -> float:
    """The part of the packets that came with sound which had already been heard."""
    return float(heard["packetsDiscarded"] / heard["packetsReceived"])


FRAMES = "samples.at(-1).inbound.filter((s) => s.kind === 'video').reduce((n, s) => n + s.framesDecoded, 0)"


async def sees(bob: Person, height_px: int, timeout_s: float) -> None:
    """Wait until pictures of this height are decoded, and go on."""
    await bob.page.wait_for(f"samples.length && {SIZE} === {height_px}", timeout_s)
    before: int = await bob.page.evaluate(FRAMES)
    await bob.page.wait_for(f"{FRAMES} > {before + FPS}", STILL_S + 2 * timeout_s / SWITCH_S)


async def outbound(ann: Person, kind: str) -> dict[str, Any]:
    """The newest figures of what Ann sends."""
    found: dict[str, Any] = await ann.page.evaluate(
        f"samples.at(-1).outbound.find((s) => s.kind === '{kind}')"
    )
    return found


@pytest.mark.parametrize(
    ("codec", "mode", "width", "sizes"),
    [
        ("vp9", "L3T3_KEY", 1280, (720, 360, 180, 720)),
        ("vp9", "L2T2", 640, (360, 180, 360)),
        ("av1", "L2T2", 640, (360, 180, 360)),
        ("av1", "L1T3", 640, (360,)),
    ],
)
async def test_viewer_gets_the_layer_of_its_size(
    tmp_path: Path, codec: str, mode: str, width: int, sizes: tuple[int, ...]
) -> None:
    need_chromium()
    clip = noisy_clip(tmp_path / "camera.y4m", width=width, height=width * 9 // 16, fps=FPS, frames=20)
    async with running_server(tmp_path) as server, chromium(*camera_flags(server.url, clip)) as browser:
        ann = await Person.join(await browser.page(), server, ROOM, "ann")
        bob = await Person.join(await browser.page(), server, ROOM, "bob")
        await bob.show(width, width * 9 // 16)
        await ann.publish_camera(
            width=width,
            height=width * 9 // 16,
            fps=FPS,
            codec=codec,
            encodings=[{"scalabilityMode": mode, "maxBitrate": 2_000_000}],
        )
        await bob.page.wait_for("document.querySelector('video') !== null")
        for number, height_px in enumerate(sizes):
            await bob.show(height_px * 16 // 9, height_px)
            await sees(bob, height_px, SWITCH_S if number else FIRST_S)
        sent = await outbound(ann, "video")
        assert sent["scalabilityMode"] == mode
        assert sent["pliCount"] <= 4 * len(sizes), "keyframes are asked for to switch, not all the time"


async def test_redundant_sound_is_sent_and_reaches_who_takes_it(tmp_path: Path) -> None:
    """Chromium's statistics call RED by the codec inside: that each packet repeats the one before tells."""
    need_chromium()
    async with running_server(tmp_path) as server, chromium(*camera_flags(server.url)) as browser:
        ann = await Person.join(await browser.page(), server, ROOM, "ann")
        bob = await Person.join(await browser.page(), server, ROOM, "bob")
        assert repeated(await ann.page.evaluate(PLAIN_CALL)) < 0.1
        await ann.publish_microphone()
        for person in (ann, bob):
            answer: str = await person.page.evaluate("airside._pc.remoteDescription.sdp")
            assert "a=rtpmap:63 red/48000/2" in answer
        await bob.page.wait_for(f"(async () => (await {HEARD})?.packetsReceived >= 150)()")
        figures = await bob.page.evaluate(HEARD)
        assert figures["packetsLost"] == 0
        assert repeated(figures) > 0.9
