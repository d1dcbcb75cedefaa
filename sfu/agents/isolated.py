"""A job in a process of its own: whatever its code does to it, other jobs go on.

`python -m sfu.agents.job_process FILE` is given the job as one line of JSON, and answers with the outcome on
a pipe. SIGTERM asks the job to end; what does not is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from sfu.agents.job import JobContext, Outcome

OUTCOME_BYTES = 64 * 1024  # of the pipe; an error of an agent is a line
KILLED_AFTER = 3.0  # times the patience of the job itself, which has its function and its hooks to wait for


async def run_isolated(job: JobContext, file: Path, *, shutdown_s: float, timeout_s: float | None) -> Outcome:
    """As `run_job`, with the entry function of the worker in a file."""
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sfu.agents.job_process", str(file), str(writing),
        stdin=asyncio.subprocess.PIPE, pass_fds=(writing,),
    )  # fmt: skip
    os.close(writing)
    ending = asyncio.create_task(job.ending())
    exited = asyncio.create_task(process.wait())
    try:
        line = {**asdict(job.info), "attributes": dict(job.info.attributes)}
        request = {"job": line, "url": job.url, "token": job.token, "limits": [shutdown_s, timeout_s]}
        assert process.stdin is not None  # noqa: S101 - asked for above
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
        # A process that hangs cannot watch its own clock.
        longest = None if timeout_s is None else timeout_s + KILLED_AFTER * shutdown_s
        await asyncio.wait((exited, ending), timeout=longest, return_when=asyncio.FIRST_COMPLETED)
        if not exited.done():
            process.send_signal(signal.SIGTERM)
            await asyncio.wait((exited,), timeout=KILLED_AFTER * shutdown_s)
        if not exited.done():
            return Outcome("its process did not end, and was killed")
        return _outcome(reading, exited.result())
    finally:
        ending.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await exited
        os.close(reading)


def _outcome(pipe: int, code: int) -> Outcome:
    os.set_blocking(pipe, False)
    try:
        text = os.read(pipe, OUTCOME_BYTES)
    except BlockingIOError:
        text = b""
    return Outcome(text.decode(errors="replace")) if code == 0 else Outcome(f"its process ended with {code}")
