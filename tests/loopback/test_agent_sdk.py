"""What agents do in a room beside sound: streams, calls, mixed sound; silence at once, seen by the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from sfu.agents import (
    DataReceived,
    PcmSource,
    Room,
    RpcCall,
    RpcError,
    TextReader,
    TrackSubscribed,
    TranscriptionReceived,
)
from sfu.core.ids import RoomName
from sfu.participants.info import ParticipantKind
from sfu.participants.permissions import Grant
from signaling.auth import create_token
from tests.support.server import API_KEY, API_SECRET, Server, running_server

RATE = 48_000
WAIT_S = 20.0
LONG = "häuser, " * 8000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("server")
    async with running_server(folder) as running:
        yield running


def agent_token(room: str, identity: str = "helper") -> str:
    return create_token(
        API_KEY,
        API_SECRET,
        Grant(room=RoomName(room), room_join=True, agent=True, can_update_own_metadata=True),
        now=time.time(),
        identity=identity,
        kind=ParticipantKind.AGENT,
    )


@asynccontextmanager
async def pair(server: Server, room: str) -> AsyncIterator[tuple[Room, Room]]:
    """Somebody and an agent, who can both talk."""
    async with (
        Room.connect(server.ws_url, server.token(room, "alice")) as alice,
        Room.connect(server.ws_url, agent_token(room)) as helper,
    ):
        await asyncio.gather(alice.connected(), helper.connected())
        yield alice, helper


async def test_texts_and_files_of_any_length(server: Server) -> None:
    async with pair(server, "streams") as (alice, helper):
        texts: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        files: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        async def text(reader: TextReader) -> None:
            await texts.put((reader.info.sender, await reader.read_all()))

        async def file(reader: Any) -> None:
            await files.put((reader.info.name, await reader.read_all()))

        alice.on_text_stream("t", text)
        alice.on_byte_stream("f", file)
        await helper.send_text(LONG, topic="t", destinations=["alice"])
        async with await helper.stream_bytes(name="a.bin", topic="f") as writer:
            await writer.write(bytes(100_000))
        async with asyncio.timeout(WAIT_S):
            assert await texts.get() == ("helper", LONG)
            assert await files.get() == ("a.bin", bytes(100_000))


async def test_calls_both_ways_and_by_the_server(server: Server) -> None:
    async with pair(server, "calls") as (alice, helper):

        async def double(call: RpcCall) -> str:
            return f"{call.caller}: {2 * int(call.payload)}"

        helper.on_rpc("double", double)
        assert await alice.call("helper", "double", "21") == "alice: 42"
        with pytest.raises(RpcError, match="1400"):
            await helper.call("alice", "double", "21")
        with pytest.raises(RpcError, match="1501"):
            await alice.call("nobody", "double", "21", timeout_s=0.3)
        body = {"room": "calls", "destination_identity": "helper", "method": "double", "payload": "4"}
        headers = {"Authorization": f"Bearer {server.admin_token('calls')}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
            answer = await http.post("/twirp/livekit.RoomService/PerformRpc", json=body)
        assert answer.json()["payload"].endswith(": 8"), answer.text


async def test_transcriptions_and_attributes(server: Server) -> None:
    async with pair(server, "words") as (alice, helper):
        heard = asyncio.create_task(alice.wait_for(TranscriptionReceived))
        await asyncio.sleep(0)
        segment = await helper.transcribe("hello", identity="alice", track_id="TR_x")
        assert await heard == TranscriptionReceived("hello", "alice", segment, "TR_x", True)
        told = asyncio.create_task(alice.wait_for(DataReceived))
        await asyncio.sleep(0)
        await helper.send_data(b"plain", topic="chat", reliable=False)
        assert (await told).sender == "helper"
        await helper.update_me(attributes={"mood": "fine"})
        async with asyncio.timeout(WAIT_S):
            # Who joins is told in batches: messages may be faster.
            while (seen := alice.participants.get("helper")) is None or seen.attributes.get("mood") != "fine":
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("rate", [16_000, 48_000])
async def test_two_voices_are_heard_as_one(server: Server, rate: int) -> None:
    room = f"mixed{rate}"
    tones = {"alice": 440, "bob": 1000, "other": 2000}
    async with (
        Room.connect(server.ws_url, server.token(room, "alice")) as alice,
        Room.connect(server.ws_url, server.token(room, "bob")) as bob,
        Room.connect(server.ws_url, agent_token(room, "other")) as other,
        Room.connect(server.ws_url, agent_token(room)) as helper,
    ):
        await helper.connected()
        at = np.arange(RATE) / RATE
        tasks = []
        for who in (alice, bob, other):
            voice = PcmSource()
            await who.publish_audio(voice)
            tone = (8000 * np.sin(2 * np.pi * tones[who.me.identity] * at)).astype(np.int16)
            tasks.append(asyncio.create_task(repeat(voice, tone)))
        window: list[np.ndarray] = []
        async with asyncio.timeout(WAIT_S):
            async for frame in helper.mixed_audio(rate):
                assert frame.data.shape == (rate // 50, 1)
                window = [*window, frame.data[:, 0].astype(np.float64)][-10:]
                power = np.abs(np.fft.rfft(np.concatenate(window)))
                of = {who: power[round(hz * len(window) * 0.02)] for who, hz in tones.items()}
                # Both at once, and the other agent not.
                if min(of["alice"], of["bob"]) > 300 * len(window) * rate / 50 / 2:
                    assert of["other"] < of["alice"] / 10
                    break
        for task in tasks:
            task.cancel()


async def repeat(voice: PcmSource, tone: np.ndarray) -> None:
    while True:
        await voice.write(tone)


async def test_a_slow_reader_of_a_track_disturbs_nobody(server: Server) -> None:
    async with pair(server, "slow") as (alice, helper):
        found = asyncio.create_task(helper.wait_for(TrackSubscribed))
        voice = PcmSource(buffer_s=60.0)
        await alice.publish_audio(voice)
        track = (await found).track
        with track.raw_audio() as stream:
            await voice.write(np.ones(RATE * 4, np.int16))
            async with asyncio.timeout(WAIT_S):
                while not stream.dropped:
                    await asyncio.sleep(0.05)
            assert len((await anext(stream)).data)
