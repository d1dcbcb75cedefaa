"""Where hostile input is tried out: a real server, and a call between two bystanders that must not notice."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.callers import Caller, Callers, Heard, joined
from tests.support.server import Server, running_server

ROOM = "standup"
AUDIBLE_GAP_MS = 60.0
"""Above this a gap in 20 ms audio outlasts an ordinary jitter buffer (DESIGN section 1)."""
MEMORY_MB = 8.0
"""Growth of the server's resident memory over one attack. Its own buffers and the allocator's slack are
less; an attack that is remembered is more, since each one brings tens of megabytes or thousands of items."""
LOG_LINES = 100
"""Written over one attack, whatever it sends."""
ENOUGH_PACKETS = 25
"""Half a second of listening, however short the attack."""
COUNTED_S = 5.0
"""Until what was sent is counted and read."""
METRICS_INTERVAL_S = 0.1
LOOK_S = 0.05
"""Between readings of the gap."""
WORKER_THREAD = "airside-"


@dataclass
class Watch:
    """One attack under observation."""

    reasons: tuple[str, ...]
    at_least: int
    before: dict[str, float]
    counted: dict[str, float] = field(default_factory=dict)
    """How much each drop reason rose, once the attack is over."""

    @property
    def total(self) -> float:
        """All the wanted reasons together."""
        return sum(self.counted.get(reason, 0) for reason in self.reasons)


class GapWatch:
    """The longest gap that is not the machine's fault.

    A gap counts less the time in which the packet workers at both ends were ready to run and had no core,
    around the gap: a machine that compiles something beside the tests must not fail them.
    """

    def __init__(self, ground: Ground, meter: int) -> None:
        self.worst_ms = 0.0
        self._ground = ground
        self._meter = meter
        self._heard = Heard(0, 0, 0.0)
        self._excused_ms = 0.0
        self._readings = deque([(time.monotonic(), ground.starved_ms())], maxlen=1000)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Take a reading; a longer gap than before is judged."""
        before = self._heard.max_gap_ms
        self._heard = heard = await self._ground.callers.heard(self._meter)
        now, starved_ms = time.monotonic(), self._ground.starved_ms()
        if heard.max_gap_ms > before:
            begun_at = now - heard.max_gap_ms / 1000 - LOOK_S
            earlier = [reading for when, reading in self._readings if when <= begun_at]
            excused_ms = starved_ms - (earlier[-1] if earlier else self._readings[0][1])
            if heard.max_gap_ms - excused_ms > self.worst_ms:
                self.worst_ms, self._excused_ms = heard.max_gap_ms - excused_ms, excused_ms
        self._readings.append((now, starved_ms))

    def __str__(self) -> str:
        return f"{self._heard}; at the worst of them {self._excused_ms:.1f} ms were without a core"


class Ground:
    """A server with a call on it. `undisturbed` says what an attack must leave alone."""

    def __init__(self, server: Server, callers: Callers, speaker: Caller, listener: Caller) -> None:
        self.server = server
        self.callers = callers
        self.speaker = speaker
        self.listener = listener
        self._threads = [*_packet_workers(server.process.pid), *_packet_workers(os.getpid())]

    @property
    def address(self) -> tuple[str, int]:
        """Where the server takes media."""
        return self.server.host, self.server.udp_port

    def token(self, identity: str, room: str = ROOM, **grant: Any) -> str:
        """For the room of the bystanders."""
        return self.server.token(room, identity, **grant)

    async def held(self, what: str) -> float:
        """How many transports, tracks, slots or addresses the packet plane holds, freshly read."""
        await asyncio.sleep(2 * METRICS_INTERVAL_S)
        return labelled(await self.server.metrics(), "airside_plane_held", "what")[what]

    @asynccontextmanager
    async def undisturbed(
        self,
        *reasons: str,
        at_least: int = 1,
        memory_mb: float = MEMORY_MB,
        log_lines: int = LOG_LINES,
    ) -> AsyncIterator[Watch]:
        """An attack runs inside. Then: no gap was heard, the server lives, has counted, holds nothing of it.

        Args:
            *reasons: Drops that together must rise.
            at_least: By so many.
            memory_mb: Growth of resident memory allowed.
            log_lines: Lines of log allowed.
        """
        mid = next(iter(self.listener.bound))
        watch = Watch(reasons, at_least, await drops(self.server))
        memory, lines = resident_mb(self.server), _lines(self.server.log)
        async with self.listener.metered(mid) as meter:
            gaps = GapWatch(self, meter)
            watching = asyncio.create_task(gaps.run())
            try:
                yield watch
                await self._count(watch)
                await self.listen(meter)
                await gaps.look()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
        assert self.server.process.returncode is None, "the server died"
        assert gaps.worst_ms < AUDIBLE_GAP_MS, str(gaps)
        grown = resident_mb(self.server) - memory
        assert grown < memory_mb, f"resident memory grew by {grown:.1f} MB"
        written = _lines(self.server.log)[len(lines) :]
        assert len(written) <= log_lines, f"{len(written)} lines of log, the last: {written[-3:]}"
        assert not any("Traceback" in line for line in written), "\n".join(written)

    def starved_ms(self) -> float:
        """How long both ends' packet workers wanted to run and had no core, since they began."""
        return sum(map(_starved_ms, self._threads))

    async def listen(self, meter: int) -> Heard:
        """What was heard, once it is enough to judge by."""
        deadline = time.monotonic() + COUNTED_S
        while True:
            heard = await self.callers.heard(meter)
            if heard.packets >= ENOUGH_PACKETS:
                return heard
            assert time.monotonic() < deadline, f"the bystanders' call is silent: {heard}"
            await asyncio.sleep(0.02)

    async def _count(self, watch: Watch) -> None:
        deadline = time.monotonic() + COUNTED_S
        while True:
            now = await drops(self.server)
            watch.counted = {reason: now[reason] - watch.before.get(reason, 0) for reason in now}
            if watch.total >= (watch.at_least if watch.reasons else 0):
                return
            risen = {reason: count for reason, count in watch.counted.items() if count}
            assert time.monotonic() < deadline, f"{watch.reasons} rose by {watch.total}; what rose: {risen}"
            await asyncio.sleep(METRICS_INTERVAL_S)


async def drops(server: Server) -> dict[str, float]:
    """Every drop reason and its count."""
    return labelled(await server.metrics(), "airside_drops_total", "reason")


def labelled(exposition: str, metric: str, label: str) -> dict[str, float]:
    """Values of a metric by one of its labels, summed over the others."""
    found: dict[str, float] = defaultdict(float)
    for labels, number in re.findall(rf"^{metric}{{(.*)}} (\S+)$", exposition, re.MULTILINE):
        found[dict(re.findall(r'(\w+)="([^"]*)"', labels))[label]] += float(number)
    return found


def resident_mb(server: Server) -> float:
    """Resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def _packet_workers(pid: int) -> list[Path]:
    """Where the kernel tells about the packet workers of a process."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [task for task in tasks if (task / "comm").read_text().startswith(WORKER_THREAD)]


def _starved_ms(task: Path) -> float:
    """Run-queue wait of a thread: the second field of schedstat, in ns."""
    return int((task / "schedstat").read_text().split()[1]) / 1e6


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


@asynccontextmanager
async def bystanders(
    server: Server, callers: Callers, room: str = ROOM
) -> AsyncIterator[tuple[Caller, Caller]]:
    """One who speaks, one who hears it."""
    async with (
        joined(callers, server.ws_url, server.token(room, "speaker"), audio=1, receive=0) as speaker,
        joined(callers, server.ws_url, server.token(room, "listener"), receive=1) as listener,
    ):
        await speaker.connected()
        await listener.connected()
        speaker.speak()
        await listener.until(lambda: listener.bound)
        await silence_ends(listener)
        yield speaker, listener


async def silence_ends(listener: Caller) -> None:
    """Wait for the first sound."""
    async with listener.metered(next(iter(listener.bound))) as meter, asyncio.timeout(5):
        while (await listener.callers.heard(meter)).packets < 5:
            await asyncio.sleep(0.02)


@asynccontextmanager
async def hostile_ground(folder: Path, **settings: Any) -> AsyncIterator[Ground]:
    """A server with bystanders, until the block ends. Keyword arguments as for `running_server`."""
    settings = {"http__metrics_interval_s": str(METRICS_INTERVAL_S), **settings}
    async with running_server(folder, **settings) as server:
        callers = Callers()
        try:
            async with bystanders(server, callers) as (speaker, listener):
                # What is allocated once, at the first use, is no growth.
                for _ in range(20):
                    await server.metrics()
                yield Ground(server, callers, speaker, listener)
        finally:
            await callers.close()
