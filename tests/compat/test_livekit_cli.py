"""The load test of LiveKit's own command line tool, where it is installed: https://github.com/livekit/livekit-cli."""

from __future__ import annotations

import asyncio
import re
import shutil
from asyncio.subprocess import PIPE, STDOUT

import pytest

from tests.support.server import API_KEY, API_SECRET, Server

TIMEOUT_S = 90.0
TOTAL = re.compile(r"Total\W+(\d+)/(\d+).*?(\d+)\W*$", re.MULTILINE)
"""The last row of its last table: tracks subscribed to, of how many, and at the end the number of errors."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("lk") is None, reason="LiveKit's tool `lk` is not installed"),
]


async def test_its_load_test_sees_every_track_and_no_error(server: Server) -> None:
    process = await asyncio.create_subprocess_exec(
        *("lk", "--url", server.ws_url, "--api-key", API_KEY, "--api-secret", API_SECRET),
        *("perf", "load-test", "--room", "load", "--duration", "10s", "--num-per-second", "5"),
        *("--video-publishers", "2", "--audio-publishers", "2", "--subscribers", "4"),
        stdout=PIPE,
        stderr=STDOUT,
    )
    async with asyncio.timeout(TIMEOUT_S):
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    total = TOTAL.search(output)
    assert total is not None, output
    assert total.groups() == ("16", "16", "0"), output
