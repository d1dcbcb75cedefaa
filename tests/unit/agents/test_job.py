"""A job comes to its end, whoever wants it."""

from __future__ import annotations

import asyncio

import pytest

from sfu.agents import JobContext, JobInfo
from sfu.agents.job import run_job


async def forever(_: JobContext) -> None:
    await asyncio.Event().wait()


async def test_a_job_whose_worker_ends_runs_its_hooks_and_leaves() -> None:
    job, told = JobContext(JobInfo("AJ_1", "lobby"), "", ""), []

    async def hook(reason: str) -> None:
        told.append(reason)

    job.add_shutdown_hook(hook)
    running = asyncio.create_task(run_job(job, forever, shutdown_s=1.0, timeout_s=None))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert told == ["cancelled"]


async def test_one_that_takes_too_long() -> None:
    job = JobContext(JobInfo("AJ_1", "lobby"), "", "")
    outcome = await run_job(job, forever, shutdown_s=1.0, timeout_s=0.01)
    assert outcome.error == "not done within 0.01 s"
