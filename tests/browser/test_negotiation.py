"""Browsers accept our answers: to a join, to a simulcast publish, to a later offer with more sections."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from sfu.transport.peer import Peer
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import write
from tests.support import chromium as chromium_support
from tests.support import firefox as firefox_support
from tests.support import netns
from tests.support.chromium import Evaluator
from tests.unit.transport.support import LOCAL, Slots

pytestmark = pytest.mark.browser

START = """(async () => {
  window.pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  pc.createDataChannel('reliable');
  for (const kind of ['audio', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'});
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
})()"""
PUBLISH = """(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  pc.addTransceiver(stream.getAudioTracks()[0], {direction: 'sendonly', streams: [stream]});
  pc.addTransceiver(stream.getVideoTracks()[0], {direction: 'sendonly', streams: [stream], sendEncodings: [
    {rid: 'q', scaleResolutionDownBy: 4}, {rid: 'h', scaleResolutionDownBy: 2}, {rid: 'f'}]});
  pc.addTransceiver('video', {direction: 'recvonly'});
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
})()"""
RESTART = """(async () => {
  await pc.setLocalDescription(await pc.createOffer({iceRestart: true}));
  return pc.localDescription.sdp;
})()"""
DIRECTIONS = "pc.getTransceivers().map((one) => one.currentDirection)"
CAMERA = "pc.getSenders().filter((one) => one.track?.kind === 'video')[0]"
ENCODINGS = f"{CAMERA}.getParameters().encodings.map((one) => one.rid)"


async def blank_page() -> tuple[asyncio.Server, int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html><title>offer</title>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "0.0.0.0", 0)
    return server, server.sockets[0].getsockname()[1]


async def open_page(stack: AsyncExitStack, browser: str) -> Evaluator:
    server, port = await blank_page()
    await stack.enter_async_context(server)
    if browser == "chromium":
        if chromium_support.executable() is None:
            pytest.skip("no chromium")
        chrome = await stack.enter_async_context(chromium_support.chromium())
        return await chrome.page(f"http://127.0.0.1:{port}/")
    if firefox_support.executable() is None or not netns.available():
        pytest.skip("no firefox, or no namespaces")
    space = stack.enter_context(netns.namespace())
    fox = await stack.enter_async_context(firefox_support.firefox(space))
    return await fox.page(f"http://{space.host_ip}:{port}/")


@pytest.mark.parametrize("browser", ["chromium", "firefox"])
async def test_answers_are_accepted(browser: str) -> None:
    peer = Peer(LOCAL, CodecPolicy(), Slots(), lambda: ("00" + "r" * 14, "r" * 24))
    async with AsyncExitStack() as stack:
        page = await open_page(stack, browser)

        async def settle(script: str) -> None:
            answer = write(peer.handle_offer(await page.evaluate(script)).answer)
            await page.evaluate(f"pc.setRemoteDescription({{type: 'answer', sdp: {json.dumps(answer)}}})")

        await settle(START)
        assert await page.evaluate(DIRECTIONS) == ["recvonly", "recvonly"]
        await settle(PUBLISH)
        directions = await page.evaluate(DIRECTIONS)
        assert directions == ["recvonly", "recvonly", "sendonly", "sendonly", "recvonly"]
        assert await page.evaluate(ENCODINGS) == ["q", "h", "f"]
        await settle(RESTART)
        assert await page.evaluate("pc.signalingState") == "stable"
        assert peer.plan is not None
        assert [layer.rid for layer in peer.plan.receive[1].layers] == ["q", "h", "f"]
