"""The other side of `isolated`: one job, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from sfu.agents.job import JobContext, JobInfo, run_job
from sfu.agents.loading import load_worker

ERROR_BYTES = 4096  # less than a pipe holds: writing must not wait for a parent that is gone


async def main(file: Path, pipe: int) -> None:
    """Run the job that stands in standard input, and end the process."""
    request = json.loads(sys.stdin.readline())
    worker = load_worker(file)
    job = JobContext(JobInfo(**request["job"]), request["url"], request["token"])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, job.shutdown, "terminated")
    shutdown_s, timeout_s = request["limits"]
    entry = worker.function
    outcome = await run_job(job, entry, shutdown_s=shutdown_s, timeout_s=timeout_s)
    os.write(pipe, outcome.error.encode()[:ERROR_BYTES])
    # A function that would not end may hold the loop for ever.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
