"""GStreamer's webrtcbin, a foreign stack without header extensions and with an RSA certificate."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.support.needs import need_gstreamer
from tests.support.server import Server, running_server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SCRIPT = Path(__file__).resolve().parent.parent / "support" / "gst_peer.py"
CALL_S = 60
H265_CALL_S = 10
START_S = 20


class GstPeer:
    """One webrtcbin process in a room, through native signaling spoken by hand."""

    def __init__(self, identity: str, video: str = "VP8") -> None:
        self.identity = identity
        self.video = video
        self.reports: list[dict[str, Any]] = []
        self.bound: set[str] = set()

    async def run(self, server: Server, room: str, stop: asyncio.Event, log: Path) -> None:
        """Join, publish, receive, until told to stop; GStreamer's complaints go to `log`."""
        with log.open("wb") as complaints:
            process = await asyncio.create_subprocess_exec(
                "/usr/bin/python3",
                str(SCRIPT),
                self.video,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            offer = json.loads(await process.stdout.readline())
            while offer["type"] != "offer":
                offer = json.loads(await process.stdout.readline())
            address = f"{server.ws_url}/signal?access_token={server.token(room, self.identity)}"
            async with connect(address) as socket:
                tracks = [{"mid": "audio0", "source": "microphone"}, {"mid": "video1", "source": "camera"}]
                join = {"type": "join", "protocol": 1, "offer": offer["sdp"], "tracks": tracks}
                await socket.send(json.dumps(join))
                joined = json.loads(await socket.recv())
                assert joined["type"] == "joined", joined
                answer = {"type": "answer", "sdp": joined["answer"]}
                process.stdin.write(json.dumps(answer).encode() + b"\n")
                listen = asyncio.create_task(self._listen(socket))
                while not stop.is_set():
                    report = json.loads(await process.stdout.readline())
                    if report["type"] == "report":
                        self.reports.append(report)
                        await socket.send(json.dumps({"type": "ping", "time": 1}))
                listen.cancel()
        finally:
            process.stdin.close()
            async with asyncio.timeout(10):
                await process.wait()

    async def _listen(self, socket: Any) -> None:
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "subscribed":
                self.bound.add(message["mid"])


async def talk(tmp_path: Path, video: str, call_s: int, least_per_s: dict[str, int]) -> None:
    """Two peers hear and see each other for so long, with so many buffers a second in any five seconds."""
    async with running_server(tmp_path) as server:
        stop = asyncio.Event()
        peers = [GstPeer("anna", video), GstPeer("ben", video)]
        async with asyncio.TaskGroup() as group:
            for peer in peers:
                group.create_task(peer.run(server, "lounge", stop, tmp_path / f"{peer.identity}.log"))
            async with asyncio.timeout(START_S + call_s + 30):
                while not all(_flowing(peer) for peer in peers):
                    await asyncio.sleep(0.5)
                starts = [len(peer.reports) for peer in peers]
                while any(len(p.reports) - s < call_s for p, s in zip(peers, starts, strict=True)):
                    await asyncio.sleep(0.5)
            stop.set()
    for peer, start in zip(peers, starts, strict=True):
        assert peer.bound == {"audio2", "video3"}
        steady = peer.reports[start:]
        assert {report["connection"] for report in steady} <= {"connected", "completed"}
        assert steady[-1]["flaps"] == 0
        for kind, least in least_per_s.items():
            counts = [report[kind] for report in steady]
            slowest = min(b - a for a, b in zip(counts, counts[5:], strict=False))
            assert slowest >= least * 5, f"{peer.identity} got {slowest} {kind} buffers in 5 s"


async def test_two_gstreamer_peers_talk_for_a_minute(tmp_path: Path) -> None:
    need_gstreamer()
    await talk(tmp_path, "VP8", CALL_S, {"audio": 40, "video": 10})


async def test_h265_of_a_real_encoder_arrives_in_whole_pictures(tmp_path: Path) -> None:
    need_gstreamer("x265enc", "rtph265pay", "h265parse")
    # Two encoders of H265 may be more than a busy machine has to spare.
    await talk(tmp_path, "H265", H265_CALL_S, {"audio": 20, "video": 3})


def _flowing(peer: GstPeer) -> bool:
    return bool(peer.reports) and peer.reports[-1]["audio"] > 0 and peer.reports[-1]["video"] > 0
