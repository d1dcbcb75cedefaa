"""Two Chromium pages on the demo page: they see, hear and write to each other."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from sfu.agents.loading import load_worker
from tests.loopback.signals import speech
from tests.loopback.test_agent_workers import serving
from tests.support import probes
from tests.support.chromium import chromium
from tests.support.needs import need_chromium
from tests.support.server import ROOT, running_server

pytestmark = pytest.mark.browser
ARTIFACTS = ROOT / "tests" / "artifacts"
SPEECH = f"--use-file-for-fake-audio-capture={ROOT / 'tests' / 'loopback' / 'data' / 'speech.wav'}"
MOVING = 0.5  # mean difference of pixel values between two moments; a still picture stays under 0.1


@pytest.mark.parametrize(
    ("workers", "port_per_worker"),
    [(1, False), (2, False), (2, True)],
    ids=["one worker", "two workers, one port", "two workers, two ports"],
)
async def test_two_pages_see_and_hear_each_other(tmp_path: Path, workers: int, port_per_worker: bool) -> None:
    need_chromium()
    async with (
        running_server(tmp_path, workers=workers, port_per_worker=port_per_worker) as server,
        chromium(SPEECH) as browser,
    ):
        ada = await browser.page(server.page("lounge", "Ada"))
        bob = await browser.page(server.page("lounge", "Bob"))
        for page, other in ((ada, "bob"), (bob, "ada")):
            await page.wait_for(probes.CONNECTED)
            await page.wait_for(f"{probes.frames(other)} > 20")
            await page.wait_for(f"(async () => (await {probes.inbound('audio')}).energy > 0.001)()")
            await page.wait_for(f"(async () => (await {probes.picture_changes(other)}) > {MOVING})()")

        await ada.evaluate("document.getElementById('chat-toggle').click()")
        await ada.evaluate("airside.sendData('hello from Ada', { topic: 'chat' })")
        await bob.wait_for("document.getElementById('messages').textContent.includes('hello from Ada')")

        await ada.evaluate("document.getElementById('microphone').click()")
        await bob.wait_for("!document.querySelector('.tile[data-identity^=ada] .muted-icon').hidden")
        await ada.evaluate("document.getElementById('microphone').click()")
        await bob.wait_for("document.querySelector('.tile[data-identity^=ada] .muted-icon').hidden")
        await bob.wait_for(
            "document.querySelector('.tile[data-identity^=ada]').classList.contains('speaking')"
        )
        await bob.screenshot(ARTIFACTS / f"demo-{workers}-{port_per_worker}.png")

        await ada.evaluate("document.getElementById('leave').click()")
        await bob.wait_for("airside.participants.size === 0")
        assert "error" not in "\n".join(ada.console + bob.console).lower()


async def test_promise_36_nobody_chooses_layers_but_the_size_on_screen(tmp_path: Path) -> None:
    need_chromium()
    async with running_server(tmp_path) as server, chromium() as browser:
        ada = await browser.page(server.page("lounge", "Ada"))
        bob = await browser.page(server.page("lounge", "Bob"))
        await bob.wait_for(probes.CONNECTED)
        await bob.wait_for(f"{probes.frames('ada')} > 0")

        async def show(height_px: int) -> None:
            style = f"{{ width: '{height_px * 16 // 9}px', height: '{height_px}px' }}"
            await bob.evaluate(f"Object.assign({probes.remote_video('ada')}.style, {style}).height")

        await show(720)
        await ada.wait_for(f"(async () => (await {probes.outbound_layers()}).join() === '180,360,720')()", 60)
        for height_px in (720, 180, 360):
            await show(height_px)
            await bob.wait_for(f"{probes.picture_height('ada')} === {height_px}", 30)
        # What nobody takes is not encoded, and comes back when it is wanted.
        await ada.wait_for(f"{probes.active_layers()} === 'q,h'")
        await show(180)
        await ada.wait_for(f"{probes.active_layers()} === 'q'")
        await bob.evaluate(f"({probes.remote_video('ada')}.style.display = 'none')")
        await ada.wait_for(f"{probes.active_layers()} === ''")
        await bob.evaluate(f"({probes.remote_video('ada')}.style.display = '')")
        await show(720)
        await ada.wait_for(f"{probes.active_layers()} === 'q,h,f'")
        await bob.wait_for(f"{probes.picture_height('ada')} === 720", 30)


async def test_microphone_is_captured_with_processing_on(tmp_path: Path) -> None:
    need_chromium()
    async with running_server(tmp_path) as server, chromium() as browser:
        page = await browser.page(server.page("lounge", "Ada"))
        await page.wait_for("globalThis.airside?.localTracks.some((t) => t.source === 'microphone')")
        settings = await page.evaluate(
            "airside.localTracks.find((t) => t.source === 'microphone').mediaStreamTrack.getSettings()"
        )
    assert settings["echoCancellation"]
    assert settings["noiseSuppression"]
    assert settings["autoGainControl"]


async def test_a_dropped_websocket_is_resumed_without_losing_media(tmp_path: Path) -> None:
    need_chromium()
    async with running_server(tmp_path) as server, chromium() as browser:
        ada = await browser.page(server.page("lounge", "Ada"))
        bob = await browser.page(server.page("lounge", "Bob"))
        await bob.wait_for(f"{probes.frames('ada')} > 5")
        me = await bob.evaluate("(globalThis.before = airside._pc, airside.me.id)")
        await bob.evaluate(
            "(globalThis.states = [],"
            " airside.addEventListener('statechange', (e) => states.push(e.detail.state)),"
            " airside._signal._socket.close())"
        )
        await bob.wait_for("states.join() === 'reconnecting,connected'")
        assert await bob.evaluate("airside._pc === before"), "the media path is the old one"
        assert await bob.evaluate("airside.me.id") == me
        frames = await bob.evaluate(probes.frames("ada"))
        await bob.wait_for(f"{probes.frames('ada')} > {frames}")
        await ada.evaluate("airside.sendData('still here?', { topic: 'chat' })")
        await bob.wait_for("document.getElementById('messages').textContent.includes('still here?')")


async def test_an_agent_is_shown_with_its_state_and_its_last_turn(tmp_path: Path) -> None:
    need_chromium()
    worker = load_worker(ROOT / "examples" / "agents" / "parrot.py")
    sentence = tmp_path / "sentence.wav"
    with wave.open(str(sentence), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        # Chromium plays it again and again; each time the parrot has a pause to answer in.
        file.writeframes(speech("Good morning.").astype("<i2").tobytes() + bytes(2 * 48_000 * 3))
    badge = "document.querySelector('.tile[data-identity^=agent] .badge')?.textContent ?? ''"
    async with (
        running_server(tmp_path) as server,
        serving(server, worker),
        chromium(f"--use-file-for-fake-audio-capture={sentence}") as browser,
    ):
        ada = await browser.page(server.page("lounge", "Ada"))
        await ada.wait_for(probes.CONNECTED)
        await ada.wait_for(f"/^agent, (listening|speaking)/.test({badge})")
        await ada.wait_for(f"/^agent, \\w+, answered in [0-9.]+ s$/.test({badge})")
        await ada.screenshot(ARTIFACTS / "demo-agent.png")
