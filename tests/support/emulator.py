"""A bad network that real clients pass through: a namespace behind the seeded link emulator."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.netns import Namespace

ROOT = Path(__file__).resolve().parent.parent.parent
START_TIMEOUT_S = 10.0
_numbers = itertools.count(1)


@dataclass
class Network:
    """`space` is where the clients live; `up` leads from them to us, `down` to them."""

    space: Namespace
    process: asyncio.subprocess.Process

    async def up(self, text: str) -> None:
        """Change the way from the clients: `rate=300000 queue_ms=500 loss=0.03 ...`."""
        await self._command(f"ab {text}")

    async def down(self, text: str) -> None:
        """Change the way to the clients."""
        await self._command(f"ba {text}")

    async def totals(self) -> dict[str, dict[str, Any]]:
        """What the link really did, `up` and `down`."""
        both = json.loads(await self._ask("totals"))
        return {"up": both["ab"], "down": both["ba"]}

    async def _command(self, line: str) -> None:
        answer = await self._ask(line)
        assert answer == "ok", answer

    async def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line.encode() + b"\n")
        return (await self.process.stdout.readline()).decode().strip()


def build() -> Path:
    """The emulator's program, built if need be."""
    command = ["cargo", "build", "-q", "--release", "--locked", "-p", "airside-emulator"]
    subprocess.run(command, cwd=ROOT / "dataplane", check=True)
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "dataplane" / "target"))
    return Path(target, "release", "airside-emulate")


@asynccontextmanager
async def emulated_network(seed: int) -> AsyncIterator[Network]:
    """A namespace whose only way out is the emulator; perfect until told otherwise."""
    program = build()
    tag = f"{os.getpid() % 10000}{next(_numbers)}"
    subnet = f"10.{180 + next(_numbers) % 60}.{os.getpid() % 250}"
    space = Namespace(f"airside-e{tag}", f"{subnet}.1", f"{subnet}.2")
    inner, outer = f"ei{tag}", f"eo{tag}"
    _ip("netns", "add", space.name)
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            *(str(seed), space.name, inner, "-", outer),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                assert (await process.stdout.readline()).strip() == b"ready"
            _ip("addr", "add", f"{space.host_ip}/24", "dev", outer)
            _ip("link", "set", outer, "up")
            for arguments in (
                ("addr", "add", f"{space.ip}/24", "dev", inner),
                ("link", "set", inner, "up"),
                ("link", "set", "lo", "up"),
                ("route", "add", "default", "via", space.host_ip),
            ):
                _ip("-n", space.name, *arguments)
            yield Network(space, process)
        finally:
            process.stdin.close()
            async with asyncio.timeout(START_TIMEOUT_S):
                await process.wait()
    finally:
        subprocess.run(["ip", "netns", "del", space.name], capture_output=True, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
