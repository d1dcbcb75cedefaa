"""Where hostile input is tried out: a real server, and a call between two bystanders that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import defaultdict
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


class Ground:
    """A server with a call on it. `undisturbed` says what an attack must leave alone."""

    def __init__(self, server: Server, callers: Callers, speaker: Caller, listener: Caller) -> None:
        self.server = server
        self.callers = callers
        self.speaker = speaker
        self.listener = listener

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
            starved = self.starved_ms()
            yield watch
            await self._count(watch)
            heard = await self.listen(meter)
        assert self.server.process.returncode is None, "the server died"
        self.check_gap(heard, starved)
        grown = resident_mb(self.server) - memory
        assert grown < memory_mb, f"resident memory grew by {grown:.1f} MB"
        written = _lines(self.server.log)[len(lines) :]
        assert len(written) <= log_lines, f"{len(written)} lines of log, the last: {written[-3:]}"
        assert not any("Traceback" in line for line in written), "\n".join(written)

    def starved_ms(self) -> float:
        """How long both ends' packet workers wanted to run and had no core, since they began."""
        return _starved_ms(self.server.process.pid) + _starved_ms(os.getpid())

    def check_gap(self, heard: Heard, starved_before_ms: float) -> None:
        """No gap that an ear hears, apart from what a machine with other work to do took of our time."""
        starved_ms = self.starved_ms() - starved_before_ms
        assert heard.max_gap_ms - starved_ms < AUDIBLE_GAP_MS, f"{heard}, {starved_ms:.1f} ms without a core"

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


def _starved_ms(pid: int) -> float:
    """Run-queue wait of a process's packet workers (second field of schedstat, ns)."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        # A thread may end between the listing and the reading.
        with contextlib.suppress(OSError):
            if (task / "comm").read_text().startswith(WORKER_THREAD):
                total += int((task / "schedstat").read_text().split()[1])
    return total / 1e6


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
