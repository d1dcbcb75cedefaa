"""Jobs in processes of their own: whatever the code of one does to its process, other jobs go on.

`python -m sfu.agents.job_process FILE PIPE` loads the worker's file, says on the pipe that it is ready, is
given a job as one line of JSON, and answers with the outcome. SIGTERM asks the job to end; what does not is
killed. A pool keeps some that are ready, so that a job does not wait for Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path

from sfu.agents.job import JobContext, Outcome

OUTCOME_BYTES = 64 * 1024  # of the pipe; an error of an agent is a line
KILLED_AFTER = 3.0  # times the patience of the job itself, which has its function and its hooks to wait for
REFILL_S = 1.0  # from a job's start to the start of its process's successor: the join has the processor first
READY = b"\n"
START_TIMEOUT_S = 30.0  # for a file that loads models

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Process:
    process: asyncio.subprocess.Process
    reading: int
    """The pipe."""

    @classmethod
    async def start(cls, file: Path) -> _Process:
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sfu.agents.job_process", str(file), str(writing),
                stdin=asyncio.subprocess.PIPE, pass_fds=(writing,),
            )  # fmt: skip
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        return cls(process, reading)

    async def ready(self) -> None:
        """Wait until it has loaded the file, or ended."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self.reading, readable.set)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await readable.wait()
        except TimeoutError:
            _log.warning("a job process is not ready after %g s", START_TIMEOUT_S)
        finally:
            loop.remove_reader(self.reading)

    async def give(self, line: bytes) -> None:
        """What it is to do."""
        assert self.process.stdin is not None  # noqa: S101 - asked for at the start
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(line + b"\n")
            await self.process.stdin.drain()

    def outcome(self) -> Outcome:
        """What it said before it ended."""
        try:
            text = os.read(self.reading, OUTCOME_BYTES)
        except BlockingIOError:
            text = b""
        code = self.process.returncode
        if code:
            return Outcome(f"its process ended with {code}")
        return Outcome(text.removeprefix(READY).decode(errors="replace"))

    async def close(self) -> None:
        """It ends now, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        os.close(self.reading)


class ProcessPool:
    """Starts processes for jobs, some before there is a job."""

    def __init__(self, file: Path, size: int) -> None:
        """
        Args:
            file: The worker's; each process loads it.
            size: Processes that are kept ready; 0: none.
        """
        self._file = file
        self._size = size
        self._idle: deque[_Process] = deque()
        self._refills: set[asyncio.Task[None]] = set()

    async def fill(self) -> None:
        """Start what is missing, and wait until it is ready."""
        started = [await _Process.start(self._file) for _ in range(self._size - len(self._idle))]
        self._idle.extend(started)
        await asyncio.gather(*(one.ready() for one in started))

    async def run(self, job: JobContext, *, shutdown_s: float, timeout_s: float | None) -> Outcome:
        """As `run_job`, with the entry function of the worker in the file."""
        one = await self._take()
        ending = asyncio.create_task(job.ending())
        exited = asyncio.create_task(one.process.wait())
        try:
            fields = {**asdict(job.info), "attributes": dict(job.info.attributes)}
            limits = [shutdown_s, timeout_s]
            request = {
                "job": fields,
                "url": job.url,
                "token": job.token,
                "media": job.media,
                "limits": limits,
            }
            await one.give(json.dumps(request).encode())
            # A process that hangs cannot watch its own clock.
            longest = None if timeout_s is None else timeout_s + KILLED_AFTER * shutdown_s
            await asyncio.wait((exited, ending), timeout=longest, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                one.process.send_signal(signal.SIGTERM)
                await asyncio.wait((exited,), timeout=KILLED_AFTER * shutdown_s)
            if not exited.done():
                return Outcome("its process did not end, and was killed")
            return one.outcome()
        finally:
            ending.cancel()
            exited.cancel()
            await one.close()

    async def close(self) -> None:
        """End those that wait."""
        for task in self._refills:
            task.cancel()
        await asyncio.gather(*self._refills, return_exceptions=True)
        while self._idle:
            await self._idle.popleft().close()

    async def _take(self) -> _Process:
        if self._size:
            task = asyncio.create_task(self._refill())
            self._refills.add(task)
            task.add_done_callback(self._refills.discard)
        while self._idle:
            one = self._idle.popleft()
            if one.process.returncode is None:
                return one
            _log.warning("a job process ended with %d before it had a job", one.process.returncode)
            await one.close()
        return await _Process.start(self._file)

    async def _refill(self) -> None:
        await asyncio.sleep(REFILL_S)
        if len(self._idle) < self._size:
            self._idle.append(await _Process.start(self._file))
