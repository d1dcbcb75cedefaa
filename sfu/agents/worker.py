"""A worker: attaches to a server, takes jobs, runs each as a coroutine that joins its room.

    worker = Worker()

    @worker.entry
    async def echo(job: JobContext) -> None:
        room = await job.connect()
        ...

`airside agent dev echo.py` runs it; `asyncio.run(worker.run(url, key, secret))` does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from sfu.agents import worker_protocol as wire
from sfu.agents.backends import ECHOES, MediaBackend, resolve
from sfu.agents.errors import ConnectError
from sfu.agents.isolated import ProcessPool
from sfu.agents.job import Accept, Entry, JobContext, JobInfo, Outcome, run_job
from sfu.agents.plane.local_ring import InheritedRing, take_inherited
from sfu.agents.room import warm_up
from sfu.participants.permissions import Grant
from signaling.auth import create_token

STATUS_S = 2.5  # between two reports, as LiveKit's workers
ASSIGN_TIMEOUT_S = 10.0  # from our yes to the assignment; then the place is free again
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0)  # before each attempt to connect again; the last for ever
TOKEN_VALIDITY_S = 60.0  # of the one we connect with; each attempt makes its own
CLOSED = 1000
PARENT_LOOK_S = 1.0

RequestHandler = Callable[[JobInfo], Awaitable[Accept | None]]
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    context: JobContext
    task: asyncio.Task[None]


@dataclass(slots=True)
class Worker:
    """One kind of agent. Many jobs run in one process; one that fails harms no other."""

    agent_name: str = ""
    """Empty: every room that asks for nobody by name gets one."""
    kind: wire.JobKind = "room"
    """One job for each `room`, for each `participant`, or for each `publisher`."""
    max_jobs: int = 0
    """At once; 0: as many echoes as a core carries, which is 40 on the packet plane and 10 on aiortc."""
    media: MediaBackend = "auto"
    """`plane` (Linux), `aiortc`, or the first of them that is there."""
    hidden: bool = False
    """Others do not see it, and it publishes nothing."""
    region: str = ""
    """Where it is: servers that name the same region ask it before others."""
    isolate: bool = False
    """Each job in a process of its own, which may block or crash as it likes, and takes a second to start.
    Only for workers that `airside agent` runs: the process loads their file."""
    prefork: int = 0
    """The same, with so many processes kept ready, so that a job starts as fast as without."""
    job_timeout_s: float | None = None
    """Longest life of a job."""
    shutdown_s: float = 10.0
    """For a job to end when it must."""
    drain_s: float = 3600.0
    """For jobs to end by themselves when the worker shall."""
    file: Path | None = field(default=None, init=False)
    """Where it comes from; set by `load_worker`."""
    _entry: Entry | None = field(default=None, init=False)
    _on_request: RequestHandler | None = field(default=None, init=False)
    _jobs: dict[str, _Running] = field(default_factory=dict, init=False)
    _promised: dict[str, float] = field(default_factory=dict, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _socket: ClientConnection | None = field(default=None, init=False)
    _draining: bool = field(default=False, init=False)
    _cut: bool = field(default=False, init=False)
    _changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _url: str = field(default="", init=False)
    _pool: ProcessPool | None = field(default=None, init=False)
    _ring: InheritedRing | None = field(default=None, init=False)

    def entry(self, function: Entry) -> Entry:
        """Decorator: the coroutine function that is a job."""
        self._entry = function
        return function

    def request(self, function: RequestHandler) -> RequestHandler:
        """Decorator: says whom the agent shall be in a job, or None to decline it."""
        self._on_request = function
        return function

    @property
    def function(self) -> Entry:
        """The entry function. Raises ValueError where there is none."""
        if self._entry is None:
            raise ValueError("the worker has no entry function: decorate one with @worker.entry")
        return self._entry

    @property
    def capacity(self) -> int:
        """Jobs it takes at once."""
        return self.max_jobs or ECHOES[resolve(self.media)]

    @property
    def jobs(self) -> list[JobInfo]:
        """Those that run."""
        return [running.context.info for running in self._jobs.values()]

    @property
    def connected(self) -> bool:
        """A server can give us jobs."""
        return self._socket is not None

    async def run(
        self, url: str, api_key: str, api_secret: str, *, stop: asyncio.Event | None = None
    ) -> None:
        """Serve until `stop`, then drain: take no more, and let what runs end within `drain_s`.

        Raises:
            ConnectError: The server refuses us; an unreachable one is tried again and again.
            ValueError: There is no entry function, or no file to isolate it with.
        """
        self._entry = self.function
        self._ring = take_inherited()
        if self.isolate or self.prefork:
            if self.file is None:
                raise ValueError("an isolated worker comes from a file: `airside agent start FILE`")
            self._pool = ProcessPool(self.file, self.prefork)
            await self._pool.fill()
        else:
            # The first job must not wait for imports.
            await asyncio.to_thread(warm_up)
        self._url = url
        stop = stop or asyncio.Event()
        serving = asyncio.create_task(self._serve(url, api_key, api_secret))
        ends: list[asyncio.Task[object]] = [asyncio.create_task(stop.wait())]
        if self._ring is not None:
            # A server that was killed could not tell us; the next one brings its own.
            ends.append(asyncio.create_task(_orphaned()))
        try:
            await asyncio.wait((serving, *ends), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                await self._drain()
        finally:
            for task in (serving, *ends):
                task.cancel()
            for running in self._jobs.values():
                running.task.cancel()
            results = await asyncio.gather(serving, *self._tasks, return_exceptions=True)
            if self._pool is not None:
                await self._pool.close()
        if isinstance(results[0], ConnectError):
            raise results[0]

    async def _drain(self) -> None:
        self._draining = True
        self._changed.set()
        _log.info("draining: %d jobs run", len(self._jobs))
        tasks = [running.task for running in self._jobs.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self.drain_s)
            self._cut = True
            for running in self._jobs.values():
                running.context.shutdown("the worker ends")
            if late:
                await asyncio.wait(late, timeout=2 * self.shutdown_s)
        if self._socket is not None:
            await self._socket.close(CLOSED)

    # The connection.

    async def _serve(self, url: str, api_key: str, api_secret: str) -> None:
        attempt = 0
        while True:
            token = create_token(
                api_key, api_secret, Grant(agent=True), now=time.time(), validity_s=TOKEN_VALIDITY_S
            )
            headers = {"Authorization": f"Bearer {token}"}
            try:
                async with connect(
                    _agent_url(url, self.capacity, self.region), additional_headers=headers
                ) as socket:
                    attempt = 0
                    await self._talk(socket)
            except InvalidHandshake as error:
                code = getattr(getattr(error, "response", None), "status_code", 0)
                if 400 <= code < 500:
                    raise ConnectError("refused", f"the server refuses the worker: {code}") from error
                _log.warning("no connection: %s", error)
            except (OSError, ConnectionClosed, TimeoutError) as error:
                _log.warning("connection lost: %s", str(error) or type(error).__name__)
            finally:
                self._socket = None
            if self._draining:
                return
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1

    async def _talk(self, socket: ClientConnection) -> None:
        await socket.send(wire.register(self.agent_name, self.kind, hidden=self.hidden))
        reporter: asyncio.Task[None] | None = None
        try:
            async for frame in socket:
                event = wire.decode(frame if isinstance(frame, bytes) else frame.encode())
                match event:
                    case wire.Registered():
                        _log.info("registered as %s", event.worker_id)
                        self._socket = socket
                        if self._jobs:
                            await socket.send(wire.migrate(list(self._jobs)))
                        reporter = asyncio.create_task(self._report(socket))
                    case wire.Asked():
                        self._spawn(self._answer(event.job))
                    case wire.Assigned():
                        self._start(event)
                    case wire.Terminated():
                        if (running := self._jobs.get(event.job_id)) is not None:
                            running.context.shutdown("terminated")
                    case None:
                        continue
        finally:
            if reporter is not None:
                reporter.cancel()

    async def _report(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._changed.clear()
                await socket.send(
                    wire.status(
                        jobs=len(self._jobs),
                        load=min(1.0, self._taken / self.capacity),
                        full=self._taken >= self.capacity,
                        draining=self._draining,
                    )
                )
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(STATUS_S):
                        await self._changed.wait()

    async def _say(self, frame: bytes) -> None:
        # What cannot be said is found out by the server: it sees the agent leave.
        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(frame)

    # Jobs.

    @property
    def _taken(self) -> int:
        """Places in use: jobs, and what we said yes to and have not been given yet."""
        now = asyncio.get_running_loop().time()
        self._promised = {job: until for job, until in self._promised.items() if until > now}
        return len(self._jobs) + len(self._promised)

    async def _answer(self, job: JobInfo) -> None:
        accept: Accept | None = None
        if not self._draining and self._taken < self.capacity:
            self._promised[job.id] = asyncio.get_running_loop().time() + ASSIGN_TIMEOUT_S
            try:
                accept = Accept() if self._on_request is None else await self._on_request(job)
            except Exception:
                _log.exception("%s: the request handler failed", job.id)
            if accept is None:
                del self._promised[job.id]
        await self._say(wire.answer(job.id, accept))

    def _start(self, assigned: wire.Assigned) -> None:
        if self._promised.pop(assigned.job.id, None) is None or assigned.job.id in self._jobs:
            _log.warning("%s: assigned, but we did not ask for it", assigned.job.id)
            return
        context = JobContext(assigned.job, assigned.url or self._url, assigned.token, self.media, self._ring)
        self._jobs[assigned.job.id] = _Running(context, self._spawn(self._run(context)))
        self._changed.set()

    async def _run(self, context: JobContext) -> None:
        info = context.info
        _log.info("%s: starts in room %r", info.id, info.room)
        outcome = Outcome("the worker ended")
        try:
            if self._pool is not None:
                outcome = await self._pool.run(
                    context, shutdown_s=self.shutdown_s, timeout_s=self.job_timeout_s
                )
            else:
                outcome = await run_job(
                    context, self.function, shutdown_s=self.shutdown_s, timeout_s=self.job_timeout_s
                )
        finally:
            del self._jobs[info.id]
            self._changed.set()
        if self._cut and not outcome.error:
            # It did not end by itself: another worker may go on with it.
            outcome = Outcome("the worker ended")
        _log.info("%s: ended%s", info.id, f": {outcome.error}" if outcome.error else "")
        await self._say(wire.ended(info.id, outcome))

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _orphaned() -> None:
    """Ends when the process has that started this one."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(PARENT_LOOK_S)


def _agent_url(url: str, capacity: int, region: str) -> str:
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    query = urlencode({"capacity": capacity, **({"region": region} if region else {})})
    return urlunsplit((scheme, parts.netloc, f"{path}/agent", query, ""))
