"""What one job costs a worker: processor time and memory, ours beside livekit-agents'.

    python -m tests.bench.agent_jobs [--jobs N] [--seconds S]

Each job is in a room of its own, with one person who speaks all the time. Ours is examples/agents/echo.py on
aiortc; livekit-agents' is the AgentSession of tests/compat/agents, whose nodes do next to nothing. Needs what
`python3 tests/all.py compat` installs, else only ours is measured. Of all processes of the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from sfu.agents import PcmSource, Room
from tests.loopback.signals import speech
from tests.support.server import API_KEY, API_SECRET, ROOT, Server, running_server

SETTLE_S = 3.0
WAIT_S = 60.0
ECHO = [sys.executable, "-m", "sfu", "agent", "start", str(ROOT / "examples" / "agents" / "echo.py")]
PYTHON = Path(os.environ.get("AIRSIDE_LIVEKIT_AGENTS_PYTHON", ROOT / ".venv-agents" / "bin" / "python"))
LIVEKIT = [str(PYTHON), str(ROOT / "tests" / "compat" / "agents" / "voice_agent.py")]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


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


async def talk(voice: PcmSource) -> None:
    """Say the same sentence again and again."""
    while True:
        await voice.write(speech())


async def measure(command: list[str], jobs: int, seconds: float, folder: Path) -> tuple[float, float, float]:
    """Cores and megabytes for each job, and megabytes of a worker without any."""
    async with running_server(folder) as server, AsyncExitStack() as stack:
        environment = {
            **os.environ,
            "AIRSIDE_URL": server.url,
            "LIVEKIT_URL": server.ws_url,
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
        }
        with (folder / "worker.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=log, stderr=log)
        try:
            await until(server, "/agents/workers", lambda found: len(found["workers"]) == 1)
            await asyncio.sleep(SETTLE_S)
            _, idle_mb = usage(process.pid)
            for index in range(jobs):
                token = server.token(f"room{index}", "alice")
                room = await stack.enter_async_context(Room.connect(server.ws_url, token))
                voice = PcmSource()
                await room.publish_audio(voice)
                task = asyncio.create_task(talk(voice))
                stack.callback(task.cancel)
            running = 'airside_agent_jobs{status="running"} ' + f"{jobs}.0"
            async with asyncio.timeout(WAIT_S):
                while running not in await server.metrics():
                    await asyncio.sleep(0.2)
            await asyncio.sleep(SETTLE_S)
            before_s, _ = usage(process.pid)
            await asyncio.sleep(seconds)
            after_s, busy_mb = usage(process.pid)
            return (after_s - before_s) / seconds / jobs, (busy_mb - idle_mb) / jobs, idle_mb
        finally:
            process.kill()
            await process.wait()


async def until(server: Server, path: str, condition: object) -> None:
    """Ask the server API again and again."""
    assert callable(condition)
    async with asyncio.timeout(WAIT_S):
        while not condition(await server.api("GET", path)):
            await asyncio.sleep(0.2)


async def main() -> None:
    """Measure one after the other, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    workers = {"echo on aiortc": ECHO}
    if PYTHON.exists():
        workers["livekit-agents' session"] = LIVEKIT
    for name, command in workers.items():
        with tempfile.TemporaryDirectory() as folder:
            cores, each_mb, idle_mb = await measure(command, arguments.jobs, arguments.seconds, Path(folder))
        print(
            f"{name}: {cores:.3f} cores and {each_mb:.0f} MB for each of {arguments.jobs} jobs; "
            f"{idle_mb:.0f} MB without any"
        )


if __name__ == "__main__":
    asyncio.run(main())
