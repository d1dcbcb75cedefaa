"""LiveKit's browser clients beside others: our own page, and a conference of LiveKit's React components."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from tests.compat.livekit_js import MOVING, JsClient, js_pages
from tests.support import probes
from tests.support.chromium import Page
from tests.support.server import ROOT, Server

ROOM = "lobby"
MODES = {"single": True, "dual": False}
PICTURE = ROOT / "tests" / "artifacts" / "livekit-conference.png"
PLAYING = """[...document.querySelectorAll('video.lk-participant-media-video')]
  .filter((video) => video.videoWidth > 0 && video.getVideoPlaybackQuality().totalVideoFrames > 10)"""

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("single", MODES.values(), ids=MODES)
async def test_our_page_and_livekit_see_and_hear_each_other(server: Server, single: bool) -> None:
    async with js_pages(server) as pages:
        ada = await pages.open(server.page(ROOM, "Ada"))
        await ada.wait_for(probes.CONNECTED)
        bob = await pages.client("bob")
        await bob.join(ROOM, singlePeerConnection=single)
        await bob.me("enableCameraAndMicrophone()")
        identity = await ada.evaluate("airside.me.identity")
        await bob.hears(identity)
        await bob.sees(identity)
        await ada.wait_for(f"(async () => (await {probes.picture_changes('bob')}) > {MOVING})()")
        await ada.wait_for(f"(async () => (await {probes.inbound('audio')}).energy > 0.001)()")
        await ada.evaluate("airside.sendData('hello from Ada', { topic: 'chat' })")
        await bob.seen("DataReceived", ["hello from Ada", identity, 0, "chat"])
        await ada.evaluate("document.getElementById('chat-toggle').click()")
        await bob.me("publishData(new TextEncoder().encode('hello Ada'), { reliable: true, topic: 'chat' })")
        await ada.wait_for("document.getElementById('messages').textContent.includes('hello Ada')")
        await exchange_frames(ada, bob, identity)
        await bob.me("setMicrophoneEnabled(false)")
        await ada.wait_for("!document.querySelector('.tile[data-identity^=bob] .muted-icon').hidden")
        await ada.evaluate("document.getElementById('leave').click()")
        await bob.seen("ParticipantDisconnected", identity)


async def exchange_frames(ada: Page, bob: JsClient, identity: str) -> None:
    """Data tracks both ways: what one writes, in one packet and in several, the other puts together."""
    await ada.evaluate(
        """(async () => {
          globalThis.frames = [];
          airside.addEventListener('dataframe', ({ detail: { track, payload } }) =>
            frames.push([track.name, track.participant.identity, payload.length, payload[0]]));
          const local = await airside.publishDataTrack('from ada');
          setInterval(() => [1, 5000].forEach((size) => local.send(new Uint8Array(size).fill(7))), 50);
        })()"""
    )
    await bob.do(
        """(async () => {
          globalThis.frames = [];
          const local = await client.room.localParticipant.publishDataTrack({ name: 'from bob' });
          setInterval(() => {
            [1, 5000].forEach((size) => local.tryPush({ payload: new Uint8Array(size).fill(9) }));
          }, 50);
        })()"""
    )
    await bob.until(f"client.room.remoteParticipants.get('{identity}').dataTracks.size === 1")
    await bob.do(
        f"""(async () => {{
          const [track] = client.room.remoteParticipants.get('{identity}').dataTracks.values();
          const reader = track.subscribe().getReader();
          (async () => {{
            for (;;) {{
              const {{ value, done }} = await reader.read();
              if (done) return;
              frames.push([track.info.name, '{identity}', value.payload.length, value.payload[0]]);
            }}
          }})();
        }})()"""
    )
    await ada.wait_for("airside.participants.get('bob').dataTracks.size === 1")
    await ada.evaluate(
        "airside.subscribeDataTrack([...airside.participants.get('bob').dataTracks.values()][0])"
    )
    for page, name, sender, byte in ((ada, "from bob", "bob", 9), (bob.page, "from ada", identity, 7)):
        for size in (1, 5000):
            whole = json.dumps([name, sender, size, byte], separators=(",", ":"))
            await page.wait_for(f"frames.some((frame) => JSON.stringify(frame) === '{whole}')")


async def test_react_components_show_a_conference(server: Server) -> None:
    async with js_pages(server) as pages:
        tabs = []
        for name in ("alice", "bob"):
            query = urlencode({"url": server.ws_url, "token": server.token(ROOM, name)})
            tabs.append(await pages.open(f"{pages.address}/conference.html?{query}"))
        alice, bob = tabs
        for tab in tabs:
            await tab.call("Page.bringToFront")  # adaptive stream pauses what is behind
            await tab.wait_for(f"{PLAYING}.length === 2")
        await alice.evaluate("document.querySelector('.lk-chat-toggle').click()")
        await alice.wait_for("document.querySelector('.lk-chat-form-input') !== null")
        await alice.evaluate("document.querySelector('.lk-chat-form-input').focus()")
        await alice.call("Input.insertText", text="hello from alice")
        await alice.evaluate("document.querySelector('.lk-chat-form-button').click()")
        await bob.evaluate("document.querySelector('.lk-chat-toggle').click()")
        await bob.wait_for(
            "document.querySelector('.lk-chat-messages')?.textContent.includes('hello from alice')"
        )
        await bob.wait_for("document.querySelector('.lk-participant-tile[data-lk-speaking=true]') !== null")
        await bob.screenshot(PICTURE)
        await alice.evaluate("document.querySelector('.lk-button[data-lk-source=microphone]').click()")
        await bob.wait_for("document.querySelector('.lk-track-muted-indicator-microphone') !== null")
        await alice.evaluate("document.querySelector('.lk-disconnect-button').click()")
        await bob.wait_for(f"{PLAYING}.length === 1")
