"""Agents of our own SDK beside LiveKit's clients: streams, calls, transcriptions, and pictures of a layer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from livekit import rtc

from sfu.agents import (
    DataReceived,
    Room,
    RpcCall,
    RpcError,
    TextReader,
    TrackSubscribed,
    TranscriptionReceived,
)
from tests.compat.livekit_client import Client, clients
from tests.loopback.test_agent_sdk import agent_token
from tests.support.server import Server

ROOM = "sdk"
TIMEOUT_S = 30.0
LONG = "häuser, " * 8000

pytestmark = pytest.mark.slow


@asynccontextmanager
async def pair(server: Server) -> AsyncIterator[tuple[Client, Room]]:
    """LiveKit's client and our agent in a room, both able to talk."""
    async with (
        Room.connect(server.ws_url, agent_token(ROOM)) as helper,
        clients(server, "alice", single=True) as (alice,),
    ):
        await helper.connected()
        told = asyncio.create_task(helper.wait_for(DataReceived, timeout_s=TIMEOUT_S))
        await alice.connect(ROOM)
        # Before her channel is open the server keeps no more than 64 kB for her.
        await alice.me.publish_data(b"here")
        await told
        yield alice, helper


async def test_streams_go_both_ways(server: Server) -> None:
    async with pair(server) as (alice, helper):
        theirs: asyncio.Queue[Any] = asyncio.Queue()
        ours: asyncio.Queue[Any] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()

        def opened(reader: rtc.TextStreamReader, sender: str) -> None:
            async def read() -> None:
                await theirs.put((sender, await reader.read_all(), dict(reader.info.attributes or {})))

            tasks.add(asyncio.create_task(read()))

        def file_opened(reader: rtc.ByteStreamReader, sender: str) -> None:
            async def read() -> None:
                content = b"".join([piece async for piece in reader])
                await theirs.put((sender, content, reader.info.name))

            tasks.add(asyncio.create_task(read()))

        async def read(reader: TextReader) -> None:
            await ours.put((reader.info.sender, await reader.read_all(), dict(reader.info.attributes)))

        async def read_file(reader: Any) -> None:
            await ours.put((reader.info.sender, await reader.read_all(), reader.info.name))

        alice.room.register_text_stream_handler("t", opened)
        alice.room.register_byte_stream_handler("f", file_opened)
        helper.on_text_stream("t", read)
        helper.on_byte_stream("f", read_file)
        async with asyncio.timeout(TIMEOUT_S):
            await helper.send_text(LONG, topic="t", attributes={"a": "1"}, destinations=["alice"])
            assert await theirs.get() == ("helper", LONG, {"a": "1"})
            await alice.me.send_text(LONG, topic="t", attributes={"a": "2"})
            assert await ours.get() == ("alice", LONG, {"a": "2"})
            async with await helper.stream_bytes(name="a.bin", topic="f") as out:
                await out.write(bytes(50_000))
            assert await theirs.get() == ("helper", bytes(50_000), "a.bin")
            writer = await alice.me.stream_bytes("b.bin", topic="f")
            await writer.write(bytes(50_000))
            await writer.aclose()
            assert await ours.get() == ("alice", bytes(50_000), "b.bin")


async def test_calls_go_both_ways(server: Server) -> None:
    async with pair(server) as (alice, helper):

        @alice.me.register_rpc_method("double")  # type: ignore[arg-type]
        async def double(call: rtc.RpcInvocationData) -> str:
            return f"{call.caller_identity}: {2 * int(call.payload)}"

        @alice.me.register_rpc_method("fail")  # type: ignore[arg-type]
        async def fail(call: rtc.RpcInvocationData) -> str:
            raise rtc.RpcError(2001, "no luck", "at all")

        async def triple(call: RpcCall) -> str:
            if call.payload == "0":
                raise RpcError(2002, "no use", "zero")
            return f"{call.caller}: {3 * int(call.payload)}"

        helper.on_rpc("triple", triple)
        assert await helper.call("alice", "double", "21") == "helper: 42"
        with pytest.raises(RpcError) as ours:
            await helper.call("alice", "fail")
        assert (ours.value.code, ours.value.text, ours.value.data) == (2001, "no luck", "at all")
        with pytest.raises(RpcError, match="1400"):
            await helper.call("alice", "missing")

        async def call(method: str, payload: str) -> str:
            return await alice.me.perform_rpc(destination_identity="helper", method=method, payload=payload)

        assert await call("triple", "14") == "alice: 42"
        with pytest.raises(rtc.RpcError) as theirs:
            await call("triple", "0")
        assert (theirs.value.code, theirs.value.message, theirs.value.data) == (2002, "no use", "zero")
        with pytest.raises(rtc.RpcError, match="not supported"):
            await call("missing", "")


async def test_transcriptions_reach_clients_of_any_age(server: Server) -> None:
    async with pair(server) as (alice, helper):
        streamed: asyncio.Queue[Any] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()

        def opened(reader: rtc.TextStreamReader, who: str) -> None:
            async def read() -> None:
                await streamed.put((who, await reader.read_all(), dict(reader.info.attributes or {})))

            tasks.add(asyncio.create_task(read()))

        alice.room.register_text_stream_handler("lk.transcription", opened)
        segment = await helper.transcribe("hello", identity="alice", track_id="TR_x")
        async with asyncio.timeout(TIMEOUT_S):
            who, text, attributes = await streamed.get()
        assert (who, text) == ("alice", "hello")
        assert attributes == {
            "lk.segment_id": segment,
            "lk.transcription_final": "true",
            "lk.transcribed_track_id": "TR_x",
        }
        segments, _, _ = await alice.event("transcription_received")
        assert [(each.id, each.text, each.final) for each in segments] == [(segment, "hello", True)]

        heard = asyncio.create_task(helper.wait_for(TranscriptionReceived))
        await asyncio.sleep(0)
        fields = {"lk.segment_id": "s", "lk.transcription_final": "false"}
        await alice.me.send_text("and I", topic="lk.transcription", attributes=fields)
        assert await heard == TranscriptionReceived("and I", "alice", "s", "", False)


async def test_pictures_of_one_layer_and_rate(server: Server) -> None:
    async with pair(server) as (alice, helper):
        found = asyncio.create_task(
            helper.wait_for(TrackSubscribed, lambda event: event.track.kind == "video", timeout_s=TIMEOUT_S)
        )
        source = rtc.VideoSource(1280, 720)
        camera = asyncio.create_task(film(source))
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=True)
        await alice.me.publish_track(rtc.LocalVideoTrack.create_video_track("camera", source), options)
        track = (await found).track
        times: list[float] = []
        async with asyncio.timeout(TIMEOUT_S):
            async for frame in track.video(max_height_px=180, max_fps=5):
                if frame.height != 180:
                    continue
                times.append(frame.timestamp_s)
                if len(times) == 6:
                    break
        assert min(np.diff(times)) > 0.9 / 5
        # Of three layers the server forwards the lowest, and nothing else from then on.
        before = await forwarded(server)
        await asyncio.sleep(1.0)
        after = await forwarded(server)
        assert (after["layer"], after["target_layer"]) == (0, 0)
        assert after["switches"] == before["switches"]
        camera.cancel()


async def forwarded(server: Server) -> dict[str, Any]:
    """What the server sends our agent."""
    figures = await server.api("GET", f"/rooms/{ROOM}/participants/helper/stats", room=ROOM)
    (video,) = [each for each in figures["subscribed"] if each["video"]]
    return dict(video)


async def film(source: rtc.VideoSource) -> None:
    number = 0
    while True:
        number += 1
        picture = np.full((720, 1280, 4), number % 256, np.uint8)
        source.capture_frame(rtc.VideoFrame(1280, 720, rtc.VideoBufferType.RGBA, picture.tobytes()))
        await asyncio.sleep(1 / 20)
