"""What one job costs a worker: processor time and memory, ours on both backends beside livekit-agents'.

    python -m tests.bench.agent_jobs [--worker NAME ...] [--jobs N] [--seconds S] [--core C]

Each job is in a room of its own, with one person who speaks all the time. Ours is examples/agents/echo.py: on
the packet plane over loopback (`plane`), brought along by the server (`embedded`: local rings), on `aiortc`;
livekit-agents' is the AgentSession of tests/compat/agents, whose nodes do next to nothing, and needs what
`python3 tests/all.py compat` installs. Processor time and memory are of all processes of the worker. A gap is
a packet of silence in the middle of an echo of the packet plane, as its listener gets it: the worker was
late, or had no core; how long one of its threads waited for one stands beside it. Where speakers have
gaps too, the figure says nothing. `--core` pins the worker to a core, and the server and the speakers to the
others.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sfu.agents import PcmSource, Room
from sfu.agents.audio import FRAME_SAMPLES
from sfu.agents.media_plane import PlaneMedia
from sfu.agents.plane.hub import Hub
from sfu.agents.plane.opus import OpusEncoder
from sfu.core.ids import TrackId
from sfu.dataplane.plane import PlayedFrame, TrackPacket
from tests.loopback.signals import speech
from tests.support.server import API_KEY, API_SECRET, ROOT, Server, running_server

SETTLE_S = 3.0
WAIT_S = 60.0
ECHO = [sys.executable, "-m", "sfu", "agent", "start", str(ROOT / "examples" / "agents" / "echo.py")]
PYTHON = Path(os.environ.get("AIRSIDE_LIVEKIT_AGENTS_PYTHON", ROOT / ".venv-agents" / "bin" / "python"))
EMBEDDED = "embedded"
WORKERS = {
    "plane": [*ECHO, "--media", "plane"],
    EMBEDDED: [],
    "aiortc": [*ECHO, "--media", "aiortc"],
    "livekit": [str(PYTHON), str(ROOT / "tests" / "compat" / "agents" / "voice_agent.py")],
}
JOBS = {"plane": 40, EMBEDDED: 40, "aiortc": 3, "livekit": 3}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
BATCH_FRAMES = 50  # a second of speech, handed to the plane at once
AHEAD_FRAMES = 200  # a speaker must not be what is late
SILENCE_BYTES = 3  # of a packet that the plane sends where it has nothing


@dataclass(slots=True)
class Figures:
    """Of one worker."""

    cores: float
    """For each job."""
    packet_cores: float
    """Of them on the packet plane's thread: all there is of WebRTC."""
    server_cores: float
    """For each job, of the server's packet workers: its person and its agent."""
    job_mb: float
    """Memory for each job."""
    idle_mb: float
    """Without any."""
    heard: float
    """Packets of echo a second and job."""
    gaps: int
    speaker_gaps: int
    """Not the worker's: the machine is too busy to measure."""
    starved_s: float
    """In all, of the thread that waited most."""


def tree(root: int) -> list[int]:
    """A process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int(entry.joinpath("stat").read_text().rsplit(")")[-1].split()[1])
            except FileNotFoundError:
                continue
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def usage(root: int) -> tuple[float, float]:
    """Seconds of processor time, and megabytes resident."""
    cpu_s = memory_mb = 0.0
    for pid in tree(root):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()
        cpu_s += (int(fields[11]) + int(fields[12])) * TICK_S
        memory_mb += int(fields[21]) * PAGE_MB
    return cpu_s, memory_mb


def packet_plane_s(root: int, *, below: bool = True) -> float:
    """Seconds of processor time of the threads of a packet plane, and of those of the processes below."""
    cpu_s = 0.0
    for pid in tree(root) if below else [root]:
        for task in Path(f"/proc/{pid}/task").iterdir():
            if (task / "comm").read_text().startswith("airside-"):
                fields = (task / "stat").read_text().rsplit(")")[-1].split()
                cpu_s += (int(fields[11]) + int(fields[12])) * TICK_S
    return cpu_s


def starved_s(root: int) -> float:
    """How long the thread that waited most for a core did."""
    waits = [
        int((task / "schedstat").read_text().split()[1]) / 1e9
        for pid in tree(root)
        for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return max(waits)


class Talker(PlaneMedia):
    """Media of a person who says the same again and again, coded once, and counts what comes back."""

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self.heard = 0
        self.silent = 0

    def talk(self, frames: Sequence[PlayedFrame]) -> asyncio.Task[None]:
        """Begin to speak; once the sound is published."""
        (track,) = (sender.track for sender in self._senders.values())
        return asyncio.create_task(self._talk(self._hub, track, list(frames)))

    async def _talk(self, hub: Hub, track: TrackId, frames: list[PlayedFrame]) -> None:
        place = 0
        while True:
            if hub.plane.players()[track][0] < AHEAD_FRAMES:
                batch = [frames[(place + index) % len(frames)] for index in range(BATCH_FRAMES)]
                place += BATCH_FRAMES
                hub.plane.play(track, batch)
            await asyncio.sleep(BATCH_FRAMES * 0.02 / 4)

    @property
    def gaps(self) -> int:
        """In its own speech."""
        players = self._hub.plane.players()
        return sum(players[sender.track][2] for sender in self._senders.values())

    def count(self) -> None:
        """Count packets of every section from now on, in place of decoding them."""
        for _, _, reader in self._readers.values():
            reader.on_packets = self._on_packets  # type: ignore[method-assign]

    def _on_packets(self, packets: Sequence[TrackPacket], now_s: float) -> None:
        self.heard += len(packets)
        self.silent += sum(len(packet[5]) <= SILENCE_BYTES for packet in packets)


def speaker_gaps(talkers: list[Talker]) -> int:
    """How often one of them had nothing to say in the middle of a word."""
    return sum(talker.gaps for talker in talkers)


def spoken() -> list[PlayedFrame]:
    """Speech without pauses, so that silence is nobody's but the worker's."""
    samples = speech()
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    loud = frames[np.abs(frames).max(axis=1) > np.abs(samples).max() // 50]
    return OpusEncoder(1).encode(np.ascontiguousarray(loud.reshape(-1, 1)))


async def measure(command: list[str], jobs: int, seconds: float, core: int | None, folder: Path) -> Figures:
    """Start everything, and look at it for a while."""
    started = running_server(folder) if command else running_server(folder, agents__embedded=ECHO[-1])
    async with started as server, AsyncExitStack() as stack:
        environment = {
            **os.environ,
            "AIRSIDE_URL": server.url,
            "LIVEKIT_URL": server.ws_url,
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
        }
        pinned = command if core is None else ["taskset", "-c", str(core), *command]
        process = None
        if command:
            with (folder / "worker.log").open("wb") as log:
                process = await asyncio.create_subprocess_exec(
                    *pinned, env=environment, stdout=log, stderr=log
                )
        try:
            worker = process.pid if process is not None else await embedded(server.process.pid, core)
            await until(server, "/agents/workers", lambda found: len(found["workers"]) == 1)
            await asyncio.sleep(SETTLE_S)
            _, idle_mb = usage(worker)
            frames, talkers = spoken(), []
            for index in range(jobs):
                token = server.token(f"room{index}", "alice")
                room = await stack.enter_async_context(
                    Room.connect(server.ws_url, token, media=Talker, receive=(1, 0))  # type: ignore[arg-type]
                )
                await room.connected()
                talker = room.media
                assert isinstance(talker, Talker)
                talkers.append(talker)
                await room.publish_audio(PcmSource())
                stack.callback(talker.talk(frames).cancel)
                talker.count()
            running = 'airside_agent_jobs{status="running"} ' + f"{jobs}.0"
            async with asyncio.timeout(WAIT_S):
                while running not in await server.metrics():
                    await asyncio.sleep(0.2)
            await asyncio.sleep(SETTLE_S)
            for talker in talkers:
                talker.heard = talker.silent = 0
            speakers, starved_before_s = speaker_gaps(talkers), starved_s(worker)
            before_s, _ = usage(worker)
            packets_before_s = packet_plane_s(worker)
            server_before_s = packet_plane_s(server.process.pid, below=False)
            await asyncio.sleep(seconds)
            after_s, busy_mb = usage(worker)
            return Figures(
                cores=(after_s - before_s) / seconds / jobs,
                packet_cores=(packet_plane_s(worker) - packets_before_s) / seconds / jobs,
                server_cores=(packet_plane_s(server.process.pid, below=False) - server_before_s)
                / seconds
                / jobs,
                job_mb=(busy_mb - idle_mb) / jobs,
                idle_mb=idle_mb,
                heard=sum(talker.heard for talker in talkers) / seconds / jobs,
                gaps=sum(talker.silent for talker in talkers),
                speaker_gaps=speaker_gaps(talkers) - speakers,
                starved_s=starved_s(worker) - starved_before_s,
            )
        finally:
            if process is not None:
                process.kill()
                await process.wait()


async def embedded(server: int, core: int | None) -> int:
    """The process that the server has started for its agent."""
    async with asyncio.timeout(WAIT_S):
        while len(found := tree(server)) < 2:
            await asyncio.sleep(0.05)
    if core is not None:
        for task in Path(f"/proc/{found[1]}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
    return found[1]


async def until(server: Server, path: str, condition: object) -> None:
    """Ask the server API again and again."""
    assert callable(condition)
    async with asyncio.timeout(WAIT_S):
        while not condition(await server.api("GET", path)):
            await asyncio.sleep(0.2)


async def main() -> None:
    """Measure one after the other, and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worker", action="append", choices=WORKERS)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--core", type=int)
    arguments = parser.parse_args()
    if arguments.core is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {arguments.core})
    for name in arguments.worker or [name for name in WORKERS if name != "livekit" or PYTHON.exists()]:
        jobs = arguments.jobs or JOBS[name]
        with tempfile.TemporaryDirectory() as folder:
            found = await measure(WORKERS[name], jobs, arguments.seconds, arguments.core, Path(folder))
        print(
            f"{name}: {jobs} jobs, {found.cores:.4f} cores ({found.packet_cores:.4f} of packets, "
            f"and {found.server_cores:.4f} of the server's) and "
            f"{found.job_mb:.1f} MB for each; {found.idle_mb:.0f} MB without any; "
            f"{found.heard:.1f} packets/s of echo, {found.gaps} gaps, {found.speaker_gaps} of speakers; "
            f"{found.starved_s:.2f} s without a core"
        )


if __name__ == "__main__":
    asyncio.run(main())
