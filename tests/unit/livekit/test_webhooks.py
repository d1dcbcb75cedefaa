"""Webhooks: each URL by itself, and an honest count of what never arrived."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest

from sfu.participants.happenings import Happening, Kind
from sfu.participants.info import RoomInfo
from sfu.settings.models import Settings
from sfu.telemetry.metrics import Metrics
from signaling.auth import Authenticator
from signaling.livekit.webhooks import WebhookSender
from tests.support.domain import World

KEYS = {"devkey": "secret"}
GOOD, BAD = "http://good.test/hook", "http://bad.test/hook"


class Node:
    """A sender whose receivers are a function: path to status."""

    def __init__(self, answer: Callable[[str], int], *, queue: int = 100) -> None:
        self.world = World()
        self.room: RoomInfo = self.world.service.create_room(self.world.room)
        self.metrics = Metrics("test")
        self.arrived: list[tuple[str, str, int]] = []
        """Host, id of the event, its `numDropped`: those that were taken."""
        self.gate: dict[str, asyncio.Event] = {}
        self._answer = answer
        hooks = {"urls": [BAD, GOOD], "attempts": 1, "queue_events": queue}
        settings = Settings.model_validate({"keys": KEYS, "webhook": hooks})
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._receive))
        authenticator = Authenticator(KEYS)
        self.sender = WebhookSender(
            settings.webhook, "devkey", authenticator, self.world.clock, client, self.metrics
        )

    async def _receive(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if host in self.gate:
            await self.gate[host].wait()
        status = self._answer(host)
        if status == 200:
            body = json.loads(request.content)
            self.arrived.append((host, body["id"][-1], body.get("numDropped", 0)))
        return httpx.Response(status)

    def happen(self, seq: int, kind: Kind = Kind.PARTICIPANT_JOINED) -> None:
        self.sender.handle(seq, Happening(kind, 0.0, self.room))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)

    def at(self, host: str) -> list[tuple[str, int]]:
        return [(event, dropped) for where, event, dropped in self.arrived if where == host]

    def count(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("airside_webhooks_total", {"outcome": outcome}) or 0


async def test_a_dead_url_delays_no_other() -> None:
    node = Node(lambda host: 200)
    node.gate["bad.test"] = asyncio.Event()
    for seq in range(1, 4):
        node.happen(seq)
    await node.until(lambda: len(node.arrived) == 3)
    assert node.at("good.test") == [("1", 0), ("2", 0), ("3", 0)]
    node.gate["bad.test"].set()
    await node.until(lambda: len(node.arrived) == 6)
    assert node.at("bad.test") == node.at("good.test"), "in order there too"
    await node.sender.close(1)


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_was_dropped_is_told_once_something_arrives(at_once: bool) -> None:
    status = {"good.test": 200, "bad.test": 503}
    node = Node(lambda host: status[host])
    node.happen(1, Kind.ROOM_STARTED)
    for seq in (2, 3):
        node.happen(seq)
        if not at_once:
            await node.until(lambda seq=seq: node.count("given_up") == seq)  # type: ignore[misc]
    await node.until(lambda: node.count("given_up") == 3)
    assert node.at("bad.test") == []
    status["bad.test"] = 200
    node.happen(4)
    await node.until(lambda: len(node.at("bad.test")) == 1)
    node.happen(5)
    await node.until(lambda: len(node.at("bad.test")) == 2)
    assert node.at("bad.test") == [("4", 3), ("5", 0)]
    assert [dropped for _, dropped in node.at("good.test")] == [0] * 5
    assert node.count("delivered") == 7
    await node.sender.close(1)


async def test_the_oldest_of_too_many_are_dropped_and_counted() -> None:
    node = Node(lambda host: 200, queue=2)
    node.gate["bad.test"] = asyncio.Event()
    node.happen(1)
    await node.until(lambda: len(node.at("good.test")) == 1)
    for seq in range(2, 7):
        node.happen(seq)
        await node.until(lambda seq=seq: len(node.at("good.test")) == seq)  # type: ignore[misc]
    node.gate["bad.test"].set()
    await node.until(lambda: len(node.at("bad.test")) == 3)
    assert node.at("bad.test") == [("1", 0), ("5", 3), ("6", 0)], "1 was on its way; 2, 3 and 4 were not"
    assert node.count("crowded_out") == 3
    await node.sender.close(1)


async def test_nothing_is_kept_of_a_room_that_is_over() -> None:
    node = Node(lambda host: 200 if host == "good.test" else 500)
    node.happen(1, Kind.ROOM_STARTED)
    await node.until(lambda: node.count("given_up") == 1)
    assert len(node.sender._queues) == 1, "what was dropped is yet to be told"
    node.happen(2, Kind.ROOM_FINISHED)
    await node.until(lambda: node.count("given_up") == 2)
    await node.until(lambda: not node.sender._queues)
    node.happen(3, Kind.AGENT_JOB)
    await node.until(lambda: node.count("given_up") == 3)
    await node.until(lambda: not node.sender._queues)
    await node.sender.close(1)
