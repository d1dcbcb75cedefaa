"""Writes data/*.sdp: offers of the stacks on this machine. By hand, when a version changes.

    python -m tests.wire.capture_offers [chromium] [firefox] [aiortc] [gstreamer]

Candidates are replaced by documentation addresses; all else is as the stack wrote it.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.support.chromium import Evaluator, chromium
from tests.support.firefox import firefox
from tests.support.netns import namespace

DATA = Path(__file__).parent / "data"
GST_PEER = Path(__file__).parents[1] / "support" / "gst_peer.py"

JOIN = """(async () => {
  const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  pc.createDataChannel('reliable');
  for (let i = 0; i < 2; i++) pc.addTransceiver('audio', {direction: 'recvonly'});
  for (let i = 0; i < 2; i++) pc.addTransceiver('video', {direction: 'recvonly'});
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
})()"""

PUBLISH = """(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  const pc = new RTCPeerConnection({bundlePolicy: 'max-bundle'});
  pc.addTransceiver(stream.getAudioTracks()[0], {direction: 'sendonly', streams: [stream]});
  pc.addTransceiver(stream.getVideoTracks()[0], {direction: 'sendonly', streams: [stream], sendEncodings: [
    {rid: 'q', scaleResolutionDownBy: 4}, {rid: 'h', scaleResolutionDownBy: 2}, {rid: 'f'}]});
  pc.addTransceiver('audio', {direction: 'recvonly'});
  pc.addTransceiver('video', {direction: 'recvonly'});
  pc.createDataChannel('reliable');
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
})()"""

BOTH_WAYS = """(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  const pc = new RTCPeerConnection();
  for (const track of stream.getTracks()) pc.addTrack(track, stream);
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
})()"""


def save(name: str, sdp: str) -> None:
    """Write one offer, without this machine's addresses."""
    lines = []
    for line in sdp.splitlines():
        if line.startswith("a=candidate:"):
            words = line.split(" ")
            words[4] = "2001:db8::2" if ":" in words[4] else "192.0.2.2"
            line = " ".join(words)
        elif line.startswith("c=IN IP4"):
            line = "c=IN IP4 0.0.0.0"
        lines.append(re.sub(r" network-(id|cost) \d+", "", line))
    (DATA / f"{name}.sdp").write_text("\r\n".join(lines) + "\r\n", newline="")
    print(name, len(lines))


async def from_page(page: Evaluator, stack: str) -> None:
    """The three usual offers of a browser."""
    save(f"{stack}_join", await page.evaluate(JOIN))
    save(f"{stack}_publish_simulcast", await page.evaluate(PUBLISH))
    save(f"{stack}_both_ways", await page.evaluate(BOTH_WAYS))


async def page_server(host: str) -> tuple[asyncio.Server, str]:
    """A blank page: devices need an origin."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html><title>offer</title>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, host, 0)
    return server, f"http://{host}:{server.sockets[0].getsockname()[1]}/"


async def from_chromium() -> None:
    """Headless Chromium with fake devices."""
    server, url = await page_server("127.0.0.1")
    async with server, chromium() as browser:
        await from_page(await browser.page(url), "chromium")


async def from_firefox() -> None:
    """Headless Firefox in a namespace."""
    with namespace() as space:
        server, url = await page_server(space.host_ip)
        async with server, firefox(space) as browser:
            await from_page(await browser.page(url), "firefox")


async def from_aiortc() -> None:
    """aiortc, as our agents use it and as it offers by itself."""
    from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection

    for name, directions in (("aiortc_join", ("recvonly",)), ("aiortc_both_ways", ("sendrecv", "recvonly"))):
        pc = RTCPeerConnection(RTCConfiguration(bundlePolicy=RTCBundlePolicy.MAX_COMPAT))
        for direction in directions:
            pc.addTransceiver("audio", direction)
            pc.addTransceiver("video", direction)
        pc.createDataChannel("reliable")
        await pc.setLocalDescription(await pc.createOffer())
        save(name, pc.localDescription.sdp)
        await pc.close()


async def from_gstreamer() -> None:
    """webrtcbin, by the system's Python."""
    process = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",
        str(GST_PEER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while True:
            message: dict[str, Any] = json.loads(await process.stdout.readline())
            if message["type"] == "offer":
                break
    save("gstreamer_both_ways", message["sdp"])
    process.stdin.write(b'{"type": "stop"}\n')
    await process.stdin.drain()
    await process.wait()


STACKS = {
    "aiortc": from_aiortc,
    "chromium": from_chromium,
    "firefox": from_firefox,
    "gstreamer": from_gstreamer,
}


async def main() -> None:
    """Capture from the stacks named, or from all."""
    for name in sys.argv[1:] or STACKS:
        await STACKS[name]()


if __name__ == "__main__":
    asyncio.run(main())
