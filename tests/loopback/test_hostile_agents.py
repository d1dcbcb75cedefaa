"""Workers that lie, flood or say nothing, and agents whose code is wrong: the room goes on."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from livekit.protocol import agent
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sfu.agents import JobContext, Worker
from sfu.agents.loading import load_worker
from sfu.participants.permissions import Grant
from signaling.auth import create_token
from tests.loopback.silent_media import SilentMedia
from tests.loopback.test_agent_workers import serving, until_job
from tests.support.ground import ROOM, Ground, hostile_ground
from tests.support.server import API_KEY, API_SECRET, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 20.0
LARGE_MB = 24.0
"""Growth of memory allowed where single messages are large, or agents come and go."""
MANY_LINES = 400
FLOOD = 20_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    folder: Path = tmp_path_factory.mktemp("ground")
    async with hostile_ground(folder, agents__answer_timeout_s="0.5", agents__leave_timeout_s="1") as ground:
        yield ground


def worker_token(secret: str = API_SECRET, *, may: bool = True, validity_s: float = 60.0) -> str:
    return create_token(API_KEY, secret, Grant(agent=may), now=time.time(), validity_s=validity_s)


class Liar:
    """A worker that says what it likes."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send(agent.WorkerMessage(**message).SerializeToString())

    async def hear(self, kind: str) -> Any:
        async with asyncio.timeout(WAIT_S):
            while True:
                frame = await self.socket.recv()
                assert isinstance(frame, bytes)
                message = agent.ServerMessage.FromString(frame)
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)


@asynccontextmanager
async def liar(server: Server, name: str) -> AsyncIterator[Liar]:
    """One that has registered."""
    headers = {"Authorization": f"Bearer {worker_token()}"}
    async with connect(f"{server.ws_url}/agent", additional_headers=headers, close_timeout=1.0) as socket:
        it = Liar(socket)
        await it.say(register=agent.RegisterWorkerRequest(agent_name=name))
        await it.hear("register")
        yield it


def honest(name: str) -> Worker:
    worker = Worker(name)

    @worker.entry
    async def stay(job: JobContext) -> None:
        await job.connect(media=SilentMedia)
        await asyncio.Event().wait()

    return worker


async def want(server: Server, name: str, **fields: Any) -> None:
    """An agent in the room of the bystanders."""
    body = {"agent_name": name, **fields}
    await server.api("POST", f"/rooms/{ROOM}/dispatches", room=ROOM, json=body)


async def until_job_of(server: Server, name: str, *statuses: str) -> dict[str, Any]:
    """The job of a name, in one of these states."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await server.api("GET", f"/rooms/{ROOM}/dispatches", room=ROOM)
            for each in found["dispatches"]:
                for job in each["jobs"]:
                    if job["agent_name"] == name and job["status"] in statuses:
                        return dict(job)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("what", ["nothing", "a guess", "no right to", "what is over", "no token"])
async def test_who_may_not_serve(ground: Ground, what: str) -> None:
    token = {
        "nothing": "",
        "a guess": worker_token("guessed"),
        "no right to": worker_token(may=False),
        "what is over": worker_token(validity_s=-1000.0),
        "no token": "no.token.atall",
    }[what]
    async with ground.undisturbed():
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with pytest.raises(InvalidStatus, match="401"):
            await connect(f"{ground.server.ws_url}/agent", additional_headers=headers)
    assert not (await ground.server.api("GET", "/agents/workers"))["workers"]


async def test_one_that_never_answers_is_asked_in_vain(ground: Ground) -> None:
    async with ground.undisturbed(memory_mb=LARGE_MB), liar(ground.server, "mute") as mute:
        await want(ground.server, "mute")
        await mute.hear("availability")
        job = await until_job_of(ground.server, "mute", "waiting")
        assert job["reason"] == "no_answer"
        async with serving(ground.server, honest("mute")):
            job = await until_job_of(ground.server, "mute", "assigned")
            assert job["attempts"] == 0


async def test_answers_for_others_twice_and_too_large(ground: Ground) -> None:
    async with ground.undisturbed(memory_mb=LARGE_MB), liar(ground.server, "liar") as it:
        await want(ground.server, "liar")
        job = (await it.hear("availability")).job
        for id_ in ("AJ_guessed", "", "x" * 5000):
            await it.say(availability=agent.AvailabilityResponse(job_id=id_, available=True))
            await it.say(update_job=agent.UpdateJobStatus(job_id=id_, status=agent.JobStatus.JS_SUCCESS))
            await it.say(migrate_job=agent.MigrateJobRequest(job_ids=[id_] * 100))
        huge = agent.AvailabilityResponse(job_id=job.id, available=True, participant_metadata="x" * 600_000)
        await it.say(availability=huge)
        assert (await until_job_of(ground.server, "liar", "waiting"))["reason"] == "bad_answer"
        pushy = agent.AvailabilityResponse(job_id=job.id, available=True, participant_identity="speaker")
        # It is asked again after a while, and would be somebody who is there.
        await it.hear("availability")
        await it.say(availability=pushy)
        assert (await until_job_of(ground.server, "liar", "waiting"))["reason"] == "bad_answer"
        await it.hear("availability")
        for _ in range(2):
            await it.say(availability=agent.AvailabilityResponse(job_id=job.id, available=True))
        assert (await it.hear("assignment")).job.id == job.id
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await it.socket.recv()
        text = await ground.server.metrics()
        assert 'airside_agent_messages_ignored_total{reason="not_its_job"}' in text


async def test_a_flood_of_reports(ground: Ground) -> None:
    server = ground.server
    async with ground.undisturbed(memory_mb=LARGE_MB), liar(server, "flood") as flood:
        load = agent.UpdateWorkerStatus(load=float("nan"), job_count=2**31, draining=True)
        report = agent.WorkerMessage(update_worker=load).SerializeToString()

        async def pour() -> None:
            for _ in range(FLOOD):
                await flood.socket.send(report)

        pouring = asyncio.create_task(pour())
        async with serving(server, honest("flooded")):
            began = time.monotonic()
            await want(server, "flooded")
            await until_job_of(server, "flooded", "assigned")
            assert time.monotonic() - began < WAIT_S / 2
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)


async def test_a_message_without_end(ground: Ground) -> None:
    async with ground.undisturbed(memory_mb=LARGE_MB), liar(ground.server, "vast") as it:
        with contextlib.suppress(ConnectionClosed):
            await it.socket.send(b"\x00" * 40_000_000)
        with pytest.raises(ConnectionClosed):
            await it.socket.recv()


WILD = """
import asyncio
import os
import time

from sfu.agents import JobContext, Worker

worker = Worker("wild", prefork=1, shutdown_s=0.3)


@worker.entry
async def wild(job: JobContext) -> None:
    room = await job.connect()
    if job.info.metadata != "dies":  # That one is still on its way in.
        await room.connected()
    match job.info.metadata:
        case "raises":
            raise RuntimeError("this agent has a bug")
        case "dies":
            os._exit(7)
        case "blocks":
            time.sleep(60)
        case "stays":
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue
"""


async def test_code_that_raises_dies_blocks_or_stays(ground: Ground, tmp_path: Path) -> None:
    file, server = tmp_path / "wild.py", ground.server
    file.write_text(WILD)
    worker = load_worker(file)
    async with ground.undisturbed(memory_mb=LARGE_MB, log_lines=MANY_LINES), serving(server, worker):
        for what in ("raises", "dies", "blocks", "stays"):
            await want(server, "wild", metadata=what, restart=False)
        await until_job(server, ROOM, "failed", 2)
        jobs = [job for job in await until_job(server, ROOM, "running", 2) if job["agent_name"] == "wild"]
        for job in jobs:
            if job["status"] == "running":
                await server.api("DELETE", f"/rooms/{ROOM}/jobs/{job['id']}", room=ROOM)
        async with asyncio.timeout(WAIT_S):
            while worker.jobs:
                await asyncio.sleep(0.05)
        assert sorted(job["error"] for job in jobs if job["status"] == "failed") == [
            "RuntimeError: this agent has a bug",
            "its process ended with 7",
        ]
        deadline = time.monotonic() + WAIT_S
        while True:
            found = await server.api("GET", f"/rooms/{ROOM}/participants", room=ROOM)
            there = {one["identity"] for one in found["participants"]}
            if there == {"speaker", "listener"}:
                break
            assert time.monotonic() < deadline, (there, jobs)
            await asyncio.sleep(0.05)
