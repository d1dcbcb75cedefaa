"""LiveKit's webhook receiver reads ours; so does whoever was away, from the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from livekit import api

from tests.compat.livekit_client import Tone, clients
from tests.support.server import API_KEY, API_SECRET, running_server

ROOM = "lobby"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:The HMAC key is")]


class Receiver:
    """An HTTP server that checks what it gets with LiveKit's own code."""

    def __init__(self, failures: int = 0) -> None:
        self.events: list[api.WebhookEvent] = []
        self.sequence: list[int] = []
        self.failures = failures
        self.url = ""
        self._checker = api.WebhookReceiver(api.TokenVerifier(API_KEY, API_SECRET))

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
                headers = {name.lower(): value for name, value in fields.items()}
                body = await reader.readexactly(int(headers["content-length"]))
                if self.failures:
                    self.failures -= 1
                    writer.write(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n")
                    continue
                self.events.append(self._checker.receive(body.decode(), headers["authorization"]))
                self.sequence.append(int(headers["x-airside-sequence"]))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:
            writer.close()

    @property
    def names(self) -> list[str]:
        return [event.event for event in self.events]


@asynccontextmanager
async def receiver(failures: int = 0) -> AsyncIterator[Receiver]:
    made = Receiver(failures)
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield made
    finally:
        server.close()


async def test_every_event_comes_in_order_and_signed(tmp_path: Path) -> None:
    async with (
        receiver(failures=2) as hooks,
        running_server(tmp_path, webhook__urls=hooks.url, room__departure_timeout_s="1") as server,
    ):
        async with clients(server, "alice", single=True) as (alice,):
            await alice.connect(ROOM)
            tone = Tone()
            track = await tone.publish(alice)
            await alice.until(lambda: "track_published" in hooks.names, "the webhook")
            await alice.me.unpublish_track(track.sid)
            await alice.until(lambda: "track_unpublished" in hooks.names, "the webhook")
            await tone.stop()
        async with asyncio.timeout(20):
            while "room_finished" not in hooks.names:
                await asyncio.sleep(0.05)
        assert hooks.names == [
            "room_started",
            "participant_joined",
            "track_published",
            "track_unpublished",
            "participant_left",
            "room_finished",
        ]
        assert hooks.sequence == sorted(hooks.sequence)
        assert {event.room.name for event in hooks.events} == {ROOM}
        assert hooks.events[2].track.sid == track.sid
        assert hooks.events[4].participant.identity == "alice"
        assert len({event.id for event in hooks.events}) == len(hooks.events)

        listed = await server.api("GET", f"/events?after={hooks.sequence[2]}")
        assert [event["event"] for event in listed["events"]] == hooks.names[3:]
