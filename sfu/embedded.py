"""Agents that the server brings along: the workers of some files, each in a process beside its own.

For small set-ups, so that one command is enough. They attach as any worker does; one that blocks, grows or
dies harms neither signaling nor media, and is started again. Their media and data pass through rings in
shared memory, in batches and without WebRTC.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sfu.dataplane.events import Event, LocalRingClosed
from sfu.dataplane.local_rings import VARIABLE, LocalRing
from sfu.dataplane.plane import DataPlane
from sfu.settings.models import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0  # before a worker that ended is started again; doubles each time
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0  # one that ran for so long begins with the first pause again
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


class EmbeddedAgents:
    """Started once the server listens, closed when its rooms are."""

    def __init__(self, settings: Settings, plane: DataPlane) -> None:
        self._plane = plane
        self._rings: dict[Path, LocalRing] = {}
        http = settings.http
        scheme = "http" if http.tls_cert is None else "https"
        self._origin = f"{scheme}://{WILDCARDS.get(http.host, http.host)}"
        self._key, self._secret = next(iter(settings.keys.items()), ("", ""))
        self._files: Sequence[Path] = settings.agents.embedded
        self._processes: dict[Path, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, port: int) -> None:
        """Start them, and keep them going. The port is where the server listens."""
        url = f"{self._origin}:{port}"
        self._plane.subscribe_events(self._on_event)
        self._tasks = [asyncio.create_task(self._keep(file, url)) for file in self._files]

    async def close(self, deadline_s: float) -> None:
        """End them; those that do not in time are killed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        waits = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if waits:
            await asyncio.wait(waits, timeout=deadline_s)
        for process in self._processes.values():
            if process.returncode is None:
                log.warning("an embedded agent did not end, and is killed")
                process.kill()
        await asyncio.gather(*waits)

    async def _keep(self, file: Path, url: str) -> None:
        loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
        environment = {**os.environ, "AIRSIDE_API_KEY": self._key, "AIRSIDE_API_SECRET": self._secret}
        while True:
            begun = loop.time()
            process = self._processes[file] = await self._start(file, url, environment)
            code = await process.wait()
            if (ring := self._rings.pop(file, None)) is not None:
                self._plane.local_rings.close(ring)
            if loop.time() - begun > STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.warning("embedded agent %s ended with %d; again in %g s", file, code, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _start(self, file: Path, url: str, environment: dict[str, str]) -> asyncio.subprocess.Process:
        try:
            ring = self._rings[file] = self._plane.local_rings.create()
        except OSError as error:
            log.warning("no local ring for %s, its media goes over the network: %s", file, error)
            ring = LocalRing("", {}, ())
        else:
            environment = {**environment, VARIABLE: ring.handover}
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sfu", "agent", "start", str(file), "--url", url,
                env=environment, pass_fds=ring.inherited,
            )  # fmt: skip
        finally:
            ring.hand_over()

    def _on_event(self, event: Event) -> None:
        """A process whose ring is broken cannot be given another one, and is started again."""
        if not isinstance(event, LocalRingClosed) or not event.broken:
            return
        for file, ring in self._rings.items():
            process = self._processes.get(file)
            if process is not None and ring.numbers.get(event.worker) == event.ring:
                log.error("embedded agent %s wrote nonsense into its local ring, and is killed", file)
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
