"""Workers of `livekit-agents`, unmodified: processes of a virtual environment that is only theirs.

The package demands an older `livekit` than the one that is tested as a client.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.needs import need_file
from tests.support.server import API_KEY, API_SECRET, ROOT, Server

FOLDER = ROOT / "tests" / "compat" / "agents"
PYTHON = ROOT / ".venv-agents" / "bin" / "python"
WAIT_S = 60.0
"""To import the package, on a machine that does much else."""


class AgentWorker:
    """One of them."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    def kill(self) -> None:
        """No goodbye."""
        self.process.send_signal(signal.SIGKILL)


@asynccontextmanager
async def agent_worker(server: Server, folder: Path, name: str = "") -> AsyncIterator[AgentWorker]:
    """A worker that has registered; gone when the block ends."""
    python = Path(os.environ.get("AIRSIDE_LIVEKIT_AGENTS_PYTHON", PYTHON))
    need_file(python, f"livekit-agents in a virtual environment of its own: {PYTHON.parent.parent.name}")
    before = {worker["id"] for worker in await workers(server)}
    log = folder / f"worker{len(before)}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            str(python),
            str(FOLDER / "voice_agent.py"),
            env={
                **os.environ,
                "LIVEKIT_URL": server.ws_url,
                "LIVEKIT_API_KEY": API_KEY,
                "LIVEKIT_API_SECRET": API_SECRET,
                "AGENT_NAME": name,
            },
            stdout=output,
            stderr=output,
        )
    try:
        async with asyncio.timeout(WAIT_S):
            while not {worker["id"] for worker in await workers(server)} - before:
                assert process.returncode is None, log.read_text(errors="replace")[-3000:]
                await asyncio.sleep(0.1)
        yield AgentWorker(process, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def workers(server: Server) -> list[dict[str, object]]:
    """Those the server knows."""
    found: list[dict[str, object]] = (await server.api("GET", "/agents/workers"))["workers"]
    return found
