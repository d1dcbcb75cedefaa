"""Workers of our own SDK on a real server: jobs that work, and agents whose code is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sfu.agents import (
    Accept,
    ConnectError,
    JobContext,
    JobInfo,
    Room,
    Worker,
)
from sfu.agents.loading import load_worker
from tests.support.server import API_KEY, API_SECRET, ROOT, Server, running_server

WAIT_S = 20.0
EXAMPLES = ROOT / "examples" / "agents"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("server")
    async with running_server(folder) as running:
        yield running
    log = running.log.read_text()
    assert "Traceback" not in log, log


@asynccontextmanager
async def serving(server: Server, worker: Worker) -> AsyncIterator[asyncio.Event]:
    """A worker that has registered; the event ends it."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(server.ws_url, API_KEY, API_SECRET, stop=stop))
    try:
        async with asyncio.timeout(WAIT_S):
            while not worker.connected:
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        yield stop
    finally:
        worker.drain_s = 0.0
        stop.set()
        async with asyncio.timeout(WAIT_S):
            await task


async def ask(server: Server, room: str, agent_name: str, **fields: Any) -> Any:
    """Ask for an agent in a room that is there or made for it."""
    await server.api("POST", "/rooms", json={"name": room})
    body = {"agent_name": agent_name, **fields}
    return await server.api("POST", f"/rooms/{room}/dispatches", room=room, json=body)


async def until_job(server: Server, room: str, status: str, count: int = 1) -> list[dict[str, Any]]:
    """Wait for so many jobs of a state; all jobs of named agents."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await server.api("GET", f"/rooms/{room}/dispatches", room=room)
            jobs = [job for each in found["dispatches"] for job in each["jobs"]]
            if sum(job["status"] == status for job in jobs) >= count:
                return jobs
            await asyncio.sleep(0.05)


WILD = """
import asyncio
import os
import time

from sfu.agents import JobContext, Worker

worker = Worker("wild", isolate=True, shutdown_s=0.5)


@worker.entry
async def wild(job: JobContext) -> None:
    room = await job.connect()
    await room.connected()
    match job.info.metadata:
        case "die":
            os._exit(7)
        case "block":
            time.sleep(60)
        case _:
            await asyncio.Event().wait()
"""


async def stay(job: JobContext) -> None:
    """An agent that does nothing until it has to go."""
    await job.connect()
    await asyncio.Event().wait()


class TestJobs:
    async def test_one_that_waits_is_taken_at_once(self, server: Server) -> None:
        made = await ask(server, "late", "late")
        assert made["waits_for"] == "no_worker"
        worker = Worker("late")
        worker.entry(stay)
        async with serving(server, worker):
            (job,) = await until_job(server, "late", "running")
            assert job["attempts"] == 0

    async def test_one_for_each_person(self, server: Server) -> None:
        worker = Worker("each", kind="participant")
        worker.entry(stay)
        seen: list[JobInfo] = []

        @worker.request
        async def take(job: JobInfo) -> Accept:
            seen.append(job)
            return Accept(identity=f"for {job.participant}", attributes={"k": "v"})

        await ask(server, "each", "each", metadata="m")
        async with (
            serving(server, worker),
            Room.connect(server.ws_url, server.token("each", "alice")),
            Room.connect(server.ws_url, server.token("each", "bob")) as bob,
        ):
            jobs = await until_job(server, "each", "running", 2)
            assert {job["identity"] for job in jobs} == {"for alice", "for bob"}
            assert {job.metadata for job in seen} == {"m"}
            assert bob.participants["for alice"].attributes["k"] == "v"

    async def test_declined_is_asked_of_another(self, server: Server) -> None:
        first, second = Worker("choosy"), Worker("choosy")
        for worker in (first, second):
            worker.entry(stay)

        @first.request
        async def never(_: JobInfo) -> None:
            return None

        async with serving(server, first), serving(server, second):
            await ask(server, "choosy", "choosy")
            await until_job(server, "choosy", "running")
            assert not first.jobs

    async def test_ended_by_the_api(self, server: Server) -> None:
        worker = Worker("ended")
        told: list[str] = []

        @worker.entry
        async def polite(job: JobContext) -> None:
            async def hook(reason: str) -> None:
                told.append(reason)

            job.add_shutdown_hook(hook)
            await stay(job)

        async with serving(server, worker):
            await ask(server, "ended", "ended")
            (job,) = await until_job(server, "ended", "running")
            await server.api("DELETE", f"/rooms/ended/jobs/{job['id']}", room="ended")
            async with asyncio.timeout(WAIT_S):
                while worker.jobs:
                    await asyncio.sleep(0.01)
            assert told == ["terminated"]
            assert not (await server.api("GET", "/rooms/ended/participants", room="ended"))["participants"]

    async def test_a_worker_that_drains_takes_no_more_and_finishes(self, server: Server) -> None:
        worker = Worker("drains")
        done = asyncio.Event()

        @worker.entry
        async def until_done(job: JobContext) -> None:
            await job.connect()
            await done.wait()

        async with serving(server, worker) as stop:
            await ask(server, "drains", "drains")
            await until_job(server, "drains", "running")
            stop.set()
            async with asyncio.timeout(WAIT_S):
                while (await ask(server, "drains", "drains"))["jobs"][0]["reason"] != "draining":
                    await asyncio.sleep(0.05)
            done.set()
            await until_job(server, "drains", "succeeded")

    async def test_what_a_worker_cuts_short_goes_to_another(self, server: Server) -> None:
        first, second = Worker("relay", drain_s=0.0), Worker("relay")
        for worker in (first, second):
            worker.entry(stay)
        async with serving(server, first) as stop:
            await ask(server, "relay", "relay")
            await until_job(server, "relay", "running")
            async with serving(server, second):
                stop.set()
                async with asyncio.timeout(WAIT_S):
                    while not second.jobs:
                        await asyncio.sleep(0.05)
                (job,) = await until_job(server, "relay", "running")
                assert job["attempts"] == 1


class TestCodeThatIsWrong:
    async def test_it_raises(self, server: Server) -> None:
        worker = Worker("raises")

        @worker.entry
        async def broken(job: JobContext) -> None:
            await job.connect()
            if job.info.metadata == "broken":
                raise RuntimeError("this agent has a bug")
            await asyncio.Event().wait()

        async with serving(server, worker):
            await ask(server, "raises", "raises", metadata="good")
            await until_job(server, "raises", "running")
            await ask(server, "raises", "raises", metadata="broken", restart=False)
            jobs = await until_job(server, "raises", "failed")
            assert [job["error"] for job in jobs] == ["", "RuntimeError: this agent has a bug"]
            assert [job["status"] for job in jobs] == ["running", "failed"]

    async def test_it_ignores_its_end(self, server: Server) -> None:
        worker = Worker("stubborn", shutdown_s=0.3)
        ended = asyncio.Event()

        @worker.entry
        async def stubborn(job: JobContext) -> None:
            await job.connect()
            while not ended.is_set():
                try:
                    await ended.wait()
                except asyncio.CancelledError:
                    continue

        async with serving(server, worker):
            await ask(server, "stubborn", "stubborn")
            (job,) = await until_job(server, "stubborn", "running")
            await server.api("DELETE", f"/rooms/stubborn/jobs/{job['id']}", room="stubborn")
            async with asyncio.timeout(WAIT_S):
                while (await server.api("GET", "/rooms/stubborn/participants", room="stubborn"))[
                    "participants"
                ]:
                    await asyncio.sleep(0.05)
            ended.set()

    async def test_it_takes_too_long(self, server: Server) -> None:
        worker = Worker("slow", job_timeout_s=0.5)
        worker.entry(stay)
        async with serving(server, worker):
            await ask(server, "slow", "slow", restart=False)
            (job,) = await until_job(server, "slow", "failed")
            assert job["error"] == "not done within 0.5 s"

    async def test_it_blocks_or_dies_alone_in_its_process(self, server: Server, tmp_path: Path) -> None:
        file = tmp_path / "wild.py"
        file.write_text(WILD)
        worker = load_worker(file)
        async with serving(server, worker):
            for what in ("stay", "die", "block"):
                await ask(server, "wild", "wild", metadata=what, restart=False)
            await until_job(server, "wild", "failed")
            _, _, block = await until_job(server, "wild", "running", 2)
            await server.api("DELETE", f"/rooms/wild/jobs/{block['id']}", room="wild")
            async with asyncio.timeout(WAIT_S):
                while len(worker.jobs) > 1:
                    await asyncio.sleep(0.05)
            errors = [job["error"] for job in await until_job(server, "wild", "running")]
            assert errors == ["", "its process ended with 7", ""]

    async def test_a_wrong_secret(self, server: Server) -> None:
        worker = Worker()
        worker.entry(stay)
        with pytest.raises(ConnectError, match="401"):
            await worker.run(server.ws_url, API_KEY, "guessed")


@pytest.mark.slow
async def test_a_server_brings_its_agents_along(tmp_path: Path) -> None:
    async with running_server(tmp_path, agents__embedded=str(EXAMPLES / "echo.py")) as server:
        async with Room.connect(server.ws_url, server.token("small", "alice")) as alice:
            async with asyncio.timeout(WAIT_S):
                while not any(who.kind == "agent" for who in alice.participants.values()):
                    await asyncio.sleep(0.05)
        begun = asyncio.get_running_loop().time()
        await server.stop()
        assert asyncio.get_running_loop().time() - begun < 8.0
