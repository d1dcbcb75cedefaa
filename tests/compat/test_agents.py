"""`livekit-agents`, as it is on PyPI: jobs, voices, transcriptions, and workers that die."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.compat.agent_workers import agent_worker
from tests.compat.livekit_client import Client, Tone, clients, hears
from tests.compat.livekit_js import js_clients
from tests.support.server import Server

WAIT_S = 40.0

pytestmark = pytest.mark.slow


async def jobs(server: Server, room: str) -> list[dict[str, Any]]:
    """All jobs of a room."""
    found = await server.api("GET", f"/rooms/{room}/dispatches", room=room)
    return [job for dispatch in found["dispatches"] for job in dispatch["jobs"]]


async def until_job(server: Server, room: str, status: str) -> dict[str, Any]:
    """The first job in that state."""
    async with asyncio.timeout(WAIT_S):
        while True:
            for job in await jobs(server, room):
                if job["status"] == status:
                    return job
            await asyncio.sleep(0.1)


async def transcript(client: Client, wanted: str) -> None:
    """Wait until a text stream of a transcription says this."""
    said: list[str] = []

    def opened(reader: Any, _: str) -> None:
        async def read() -> None:
            said.append(await reader.read_all())

        tasks.append(asyncio.create_task(read()))

    tasks: list[asyncio.Task[None]] = []
    client.room.register_text_stream_handler("lk.transcription", opened)
    await client.until(lambda: any(wanted in text for text in said), f"the transcript {wanted!r}")


async def test_a_conversation_from_dispatch_to_termination(server: Server, tmp_path: Path) -> None:
    async with agent_worker(server, tmp_path), clients(server, "alice", single=True) as (alice,):
        await alice.connect("conversation")
        job = await until_job(server, "conversation", "running")
        agent = job["identity"]
        told = asyncio.create_task(transcript(alice, "I heard turn 1."))
        tone = Tone()
        await tone.publish(alice)
        track = await alice.track_of(agent)
        await asyncio.sleep(1.0)  # so long a sentence
        tone.level = 0
        assert await hears(track)
        await told
        who = alice.room.remote_participants[agent]
        await alice.until(lambda: "lk.agent.state" in who.attributes, "its state")
        await server.api("DELETE", f"/rooms/conversation/jobs/{job['id']}", room="conversation")
        await alice.event("participant_disconnected", lambda left: left.identity == agent)
        assert [each["reason"] for each in await jobs(server, "conversation")] == ["requested"]
        await tone.stop()
    text = await server.metrics()
    assert "airside_job_wait_seconds_count 0.0" not in text


async def test_explicit_dispatch_by_name(server: Server, tmp_path: Path) -> None:
    async with agent_worker(server, tmp_path, "scribe"), clients(server, "alice", single=True) as (alice,):
        await alice.connect("named")
        assert not await jobs(server, "named")
        made = await server.api(
            "POST", "/rooms/named/dispatches", room="named", json={"agent_name": "scribe", "metadata": "hi"}
        )
        await alice.event("participant_connected", lambda who: who.identity.startswith("agent-"))
        assert (await until_job(server, "named", "running"))["dispatch_id"] == made["id"]


async def test_a_killed_worker_leaves_its_job_to_another(server: Server, tmp_path: Path) -> None:
    async with agent_worker(server, tmp_path) as first, clients(server, "alice", single=True) as (alice,):
        await alice.connect("killed")
        before = await until_job(server, "killed", "running")
        async with agent_worker(server, tmp_path):
            first.kill()
            async with asyncio.timeout(WAIT_S):
                while (await jobs(server, "killed"))[0]["worker_id"] in (before["worker_id"], None):
                    await asyncio.sleep(0.1)
            (after,) = await jobs(server, "killed")
            assert after["id"] == before["id"]
            assert (await until_job(server, "killed", "running"))["attempts"] == 1


@pytest.mark.browser
async def test_a_browser_talks_with_it(server: Server, tmp_path: Path) -> None:
    async with agent_worker(server, tmp_path), js_clients(server, "alice") as (alice,):
        await alice.join("browser")
        await alice.me("setMicrophoneEnabled(true)")
        job = await until_job(server, "browser", "running")
        await alice.hears(job["identity"])
