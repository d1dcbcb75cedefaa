"""A thousand clients come and go within a minute while others talk: packets pass as quickly as ever."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect

from tests.support.callers import Callers
from tests.support.crowd import Member, offer_template
from tests.support.ground import Ground, hostile_ground

pytestmark = [pytest.mark.slow, pytest.mark.bench]

SIZE = 1000
WITHIN_S = 60.0
CONNECTED_S = 30.0
BYSTANDERS = 2
MEMORY_MB = 200.0
"""The allocator keeps what the most clients at one time needed."""
LOG_LINES = 6 * SIZE
MAX_P99_S = 0.005
RESIDENCE = re.compile(r'airside_worker_residence_seconds\{quantile="0.99",worker="\d+"\} (\S+)')


async def come_and_go(ground: Ground, callers: Callers, template: str, number: int) -> None:
    """Join, connect with keys, leave."""
    token = quote(ground.token(f"member{number}", "churn"))
    url = f"{ground.server.ws_url}/signal?access_token={token}"
    async with connect(url, max_size=None, compression=None, ping_interval=None) as socket:
        member = Member(callers, socket)
        await member.join(template)
        member.start(ground.address)
        await callers.until(lambda: member.connected, CONNECTED_S)
        await socket.send(json.dumps({"type": "leave"}))
    member.forget()


async def test_a_thousand_come_and_go_in_a_minute(tmp_path: Path) -> None:
    async with hostile_ground(tmp_path, session__connect_timeout_s="300") as ground:
        callers = Callers()
        try:
            template = offer_template(callers.plane)
            async with ground.undisturbed(memory_mb=MEMORY_MB, log_lines=LOG_LINES):
                began_at, coming = time.monotonic(), []
                for number in range(SIZE):
                    await asyncio.sleep(max(0.0, began_at + number * WITHIN_S / SIZE - time.monotonic()))
                    coming.append(asyncio.create_task(come_and_go(ground, callers, template, number)))
                await asyncio.gather(*coming)
                took_s = time.monotonic() - began_at
            p99_s = max(map(float, RESIDENCE.findall(await ground.server.metrics())))
        finally:
            await callers.close()
        print(f"{SIZE} came and went in {took_s:.0f} s; residence p99 {1000 * p99_s:.2f} ms")
        assert took_s < WITHIN_S + CONNECTED_S
        assert p99_s < MAX_P99_S
        async with asyncio.timeout(CONNECTED_S):
            while await ground.held("transports") > BYSTANDERS:
                pass
