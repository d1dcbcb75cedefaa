"""The other side of `isolated`: one job, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from sfu.agents.isolated import READY
from sfu.agents.job import JobContext, JobInfo, run_job
from sfu.agents.loading import load_worker
from sfu.agents.room import warm_up
from sfu.agents.worker import Worker

ERROR_BYTES = 4096  # less than a pipe holds: writing must not wait for a parent that is gone


async def run(worker: Worker, line: str, pipe: int) -> None:
    """Run the job of a line, and end the process."""
    request = json.loads(line)
    job = JobContext(JobInfo(**request["job"]), request["url"], request["token"], request["media"])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, job.shutdown, "terminated")
    shutdown_s, timeout_s = request["limits"]
    outcome = await run_job(job, worker.function, shutdown_s=shutdown_s, timeout_s=timeout_s)
    os.write(pipe, outcome.error.encode()[:ERROR_BYTES])
    # A function that would not end may hold the loop for ever.
    os._exit(0)


def main(file: Path, pipe: int) -> None:
    """Load the file, and wait for a job on standard input; its end is ours."""
    # Who stops the worker at a terminal stops jobs by their worker, not by this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = load_worker(file)
    warm_up()
    os.write(pipe, READY)
    if line := sys.stdin.readline():
        asyncio.run(run(worker, line, pipe))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
