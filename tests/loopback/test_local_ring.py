"""Agents that the server brings along: media and data pass through shared memory, and nobody else's do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from sfu.agents import AudioFrame, ConnectError, PcmSource, RemoteTrack, Room, VideoSource
from sfu.agents.media_plane import PlaneMedia
from sfu.dataplane.local_rings import VARIABLE
from tests.loopback.signals import correlation, picture, speech, square_position
from tests.loopback.waiting import until
from tests.support.ground import Ground, hostile_ground, labelled
from tests.support.server import API_KEY, API_SECRET, ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 30.0
STOPPED_S = 2.0
LONGEST_GAP_MS = 1000.0
"""Of bystanders, on a busy machine; who waited for the agent would be silent for twice that."""
SAME_SOUND = 0.85  # twice through Opus
SAID_SAMPLES = 60_000  # 1.25 s
ENDED_S = 2.0  # from the end of a process to that of its sessions: no timeout of a network is in it
AGENT = """
import asyncio
import json
import os

import numpy as np

from sfu.agents import JobContext, PcmSource, TrackSubscribed, VideoSource, Worker
from tests.loopback.signals import picture, square_position

worker = Worker()


@worker.entry
async def guest(job: JobContext) -> None:
    room = await job.connect()
    voice, film, seen = PcmSource(), VideoSource(), []

    async def count(request) -> str:
        return json.dumps({"pid": os.getpid(), "letters": len(request.payload), "seen": seen})

    room.on_rpc("count", count)
    await room.connected()
    await room.publish_audio(voice)
    await room.publish_video(film, width=320, height=240)

    async def draw() -> None:
        for number in range(10**9):
            film.write(picture(number))
            await asyncio.sleep(0.05)

    async def look(track) -> None:
        async for frame in track.video():
            place = round(square_position(frame.to_ndarray()), 2)
            if place not in seen:
                seen.append(place)

    async def repeat(track) -> None:
        async for frame in track.audio():
            await voice.write(frame.data)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(draw())
        with room.events() as events:
            known = [track for track in room.tracks.values() if track.subscribed]
            begun = set()
            async def begin(track):
                if track.participant.identity == "alice" and track.id not in begun:
                    begun.add(track.id)
                    tasks.create_task(look(track) if track.kind == "video" else repeat(track))
            for track in known:
                await begin(track)
            async for event in events:
                if isinstance(event, TrackSubscribed):
                    await begin(event.track)
"""


VANDAL = """
import asyncio
import json
import os
import re

from sfu.agents import JobContext, Worker

QUEUE_BYTES = (24 + 128 * 1024) * 8  # the first one is the server's, the second ours: local_ring/queue.rs
worker = Worker()


@worker.entry
async def vandal(job: JobContext) -> None:
    room = await job.connect()

    async def count(request) -> str:
        return json.dumps({"pid": os.getpid()})

    async def ruin(request) -> str:
        asyncio.get_running_loop().call_later(0.2, write)
        return ""

    room.on_rpc("count", count)
    room.on_rpc("ruin", ruin)
    await asyncio.Event().wait()


def write() -> None:
    maps = open("/proc/self/maps").read()
    begin, end = (int(part, 16) for part in re.search(r"(\\w+)-(\\w+) .*airside-ring", maps).groups())
    with open("/proc/self/mem", "r+b", buffering=0) as memory:
        memory.seek(begin + QUEUE_BYTES)
        memory.write(b"\\xff" * 4096)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """Two workers, and a guest in every room."""
    folder = tmp_path_factory.mktemp("ring")
    file = folder / "guest.py"
    file.write_text(AGENT)
    async with hostile_ground(folder, workers=2, agents__embedded=str(file)) as ground:
        yield ground
        log = ground.server.log.read_text()
    assert "Traceback" not in log, log


async def agent_in(room: Room) -> str:
    """Identity of the guest, once it is there."""

    def agents() -> list[str]:
        return [who.identity for who in room.participants.values() if who.kind == "agent"]

    await until(lambda: bool(agents()), WAIT_S)
    return agents()[0]


async def ask(room: Room, agent: str, payload: str = "") -> dict[str, Any]:
    """The guest's answer; it may be about to come."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with contextlib.suppress(Exception):
                return json.loads(await room.call(agent, "count", payload, timeout_s=3.0))  # type: ignore[no-any-return]


async def stats(ground: Ground, room: str, identity: str) -> dict[str, Any]:
    """Of its transport."""
    path = f"/rooms/{room}/participants/{identity}/stats"
    return (await ground.server.api("GET", path, room=room))["transport"]  # type: ignore[no-any-return]


async def track_of(room: Room, agent: str, kind: str) -> RemoteTrack:
    """What the guest publishes, once it arrives."""

    def found() -> list[RemoteTrack]:
        return [
            track
            for track in room.tracks.values()
            if track.participant.identity == agent and track.kind == kind and track.subscribed
        ]

    await until(lambda: bool(found()), WAIT_S)
    return found()[0]


def sound(frames: list[AudioFrame]) -> Any:
    """All of them as one."""
    return np.concatenate([frame.data[:, 0] for frame in frames])


async def echo(alice: Room, agent: str, voice: PcmSource) -> None:
    """Alice says something, and hears it from the agent."""
    said, heard = speech()[:SAID_SAMPLES], list[AudioFrame]()
    track = await track_of(alice, agent, "audio")
    with track.raw_audio() as frames:

        async def listen() -> None:
            async for frame in frames:
                heard.append(frame)

        listening = asyncio.create_task(listen())
        try:
            async with asyncio.timeout(WAIT_S):
                while not heard or correlation(said, sound(heard)) < SAME_SOUND:
                    await voice.write(said)
                    await asyncio.sleep(len(said) / 48_000 + 0.5)
        finally:
            listening.cancel()


async def test_everything_passes_the_ring(ground: Ground) -> None:
    server = ground.server
    before = labelled(await server.metrics(), "airside_local_ring_packets_total", "direction")
    async with Room.connect(server.ws_url, ground.token("alice", room="ring")) as alice:
        await alice.connected()
        agent = await agent_in(alice)
        assert (await ask(alice, agent, "x" * 10_000))["letters"] == 10_000
        voice, camera = PcmSource(), VideoSource()
        await alice.publish_audio(voice)
        await alice.publish_video(camera, width=320, height=240)

        async def film() -> None:
            for number in range(10**9):
                camera.write(picture(number))
                await asyncio.sleep(0.05)

        filming = asyncio.create_task(film())
        try:
            await echo(alice, agent, voice)
            drawn = await track_of(alice, agent, "video")
            places: set[float] = set()
            async with asyncio.timeout(WAIT_S):
                async for frame in drawn.video():
                    places.add(round(square_position(frame.to_ndarray()), 2))
                    if len(places) > 5:
                        break
                while len((await ask(alice, agent))["seen"]) < 5:
                    await asyncio.sleep(0.1)
        finally:
            filming.cancel()
        ours, theirs = await stats(ground, "ring", "alice"), await stats(ground, "ring", agent)
        assert (ours["local"], theirs["local"]) == (0, 1)
        assert theirs["packets_sent"] > 100
        assert theirs["estimate_bps"] is None, "there is no network to find out about"
    passed = labelled(await server.metrics(), "airside_local_ring_packets_total", "direction")
    for direction in ("in", "out"):
        assert passed[direction] - before.get(direction, 0) > 100, passed


async def test_a_process_that_stands_still_disturbs_nobody_and_goes_on(ground: Ground) -> None:
    server = ground.server
    async with Room.connect(server.ws_url, ground.token("alice", room="still")) as alice:
        await alice.connected()
        agent = await agent_in(alice)
        pid = (await ask(alice, agent))["pid"]
        voice = PcmSource()
        await alice.publish_audio(voice)
        await echo(alice, agent, voice)
        async with ground.listener.metered(next(iter(ground.listener.bound))) as meter:
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(STOPPED_S)
            finally:
                os.kill(pid, signal.SIGCONT)
            heard = await ground.listen(meter)
            assert heard.max_gap_ms < LONGEST_GAP_MS
        await echo(alice, agent, voice)
        assert (await stats(ground, "still", agent))["local"] == 1, "it was not lost"


async def test_whoever_was_given_no_ring_gets_none(ground: Ground) -> None:
    class Forger(PlaneMedia):
        @property
        def local_ring(self) -> str:
            return "a-secret-that-nobody-gave"

    with pytest.raises(ConnectError) as refused:
        async with Room.connect(ground.server.ws_url, ground.token("mallory"), media=Forger):
            pass
    assert refused.value.code == "local_ring_refused"


async def test_a_process_that_dies_leaves_at_once_and_the_next_one_has_a_ring(ground: Ground) -> None:
    server = ground.server
    async with Room.connect(server.ws_url, ground.token("alice", room="die")) as alice:
        await alice.connected()
        agent = await agent_in(alice)
        pid = (await ask(alice, agent))["pid"]
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: agent not in alice.participants, WAIT_S)
        assert time.monotonic() - killed < ENDED_S
        agent = await agent_in(alice)
        assert (await ask(alice, agent))["pid"] != pid
        assert (await stats(ground, "die", agent))["local"] == 1
    text = await server.metrics()
    assert "airside_local_rings 2.0" in text, "one for each worker, and none of the dead"
    assert "airside_local_rings_broken_total 0.0" in text


async def test_a_process_that_ruins_its_ring_loses_it_and_nobody_else_notices(tmp_path: Path) -> None:
    file = tmp_path / "vandal.py"
    file.write_text(VANDAL)
    async with hostile_ground(tmp_path, agents__embedded=str(file)) as ground:
        server = ground.server
        async with Room.connect(server.ws_url, ground.token("alice")) as alice:
            await alice.connected()
            agent = await agent_in(alice)
            pid = (await ask(alice, agent))["pid"]
            async with ground.listener.metered(next(iter(ground.listener.bound))) as meter:
                await alice.call(agent, "ruin")
                await until(lambda: agent not in alice.participants, WAIT_S)
                heard = await ground.listen(meter)
                assert heard.max_gap_ms < LONGEST_GAP_MS
            agent = await agent_in(alice)
            assert (await ask(alice, agent))["pid"] != pid
        assert "airside_local_rings_broken_total 1.0" in await server.metrics()


async def test_an_agent_does_not_outlive_the_server_that_started_it(tmp_path: Path) -> None:
    file, log = tmp_path / "agent.py", tmp_path / "agent.log"
    file.write_text("from sfu.agents import Worker\n\nworker = Worker()\nworker.entry(lambda job: None)\n")
    command = [sys.executable, "-m", "sfu", "agent", "start", str(file), "--url", "http://127.0.0.1:9"]
    environment = {
        **os.environ,
        VARIABLE: "secret",
        "AIRSIDE_API_KEY": API_KEY,
        "AIRSIDE_API_SECRET": API_SECRET,
    }
    with log.open("wb") as output:
        # A shell that stays beside what it started.
        server = await asyncio.create_subprocess_exec(
            "sh", "-c", '"$@" & echo $!; wait', "sh", *command,
            cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=output,
        )  # fmt: skip
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    await until(lambda: "connection lost" in log.read_text(), WAIT_S)
    server.kill()
    await server.wait()
    await until(lambda: not Path(f"/proc/{pid}").exists(), WAIT_S)
