"""Signaling over real sockets: what works, and what hostile peers may not do to others."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sfu.core.ids import Identity, RoomName
from tests.support.edge import WAIT_S, Running, running_edge, token

OTHER = "x" * 40


@pytest.fixture
async def edge() -> AsyncIterator[Running]:
    async with running_edge() as running:
        yield running


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def raw_connection(edge: Running) -> AsyncIterator[Streams]:
    """A TCP connection, ended hard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def raw_websocket(edge: Running, identity: str) -> AsyncIterator[Streams]:
    """A WebSocket after its handshake, for frames that no library would send."""
    key = base64.b64encode(os.urandom(16)).decode()
    path = edge.signal_url(token(identity)).split(str(edge.port), 1)[1]
    head = (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    async with raw_connection(edge) as (reader, writer):
        writer.write(head.encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        yield reader, writer


def frame(opcode: int, payload: bytes, *, fin: bool = True, length: int | None = None) -> bytes:
    """A masked client frame; `length` is what it claims to hold."""
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + b"\0\0\0\0" + payload


async def close_code(reader: asyncio.StreamReader) -> int | None:
    """The code of the next close frame; None if the connection just ends."""
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                first, second = await reader.readexactly(2)
                size = second & 0x7F
                if size == 126:
                    size = int(struct.unpack("!H", await reader.readexactly(2))[0])
                elif size == 127:
                    size = int(struct.unpack("!Q", await reader.readexactly(8))[0])
                payload = await reader.readexactly(size)
                if first & 0x0F == 8:
                    return int(struct.unpack("!H", payload[:2])[0])
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


class TestSessions:
    async def test_two_clients_hear_of_each_other(self, edge: Running) -> None:
        async with edge.joined("ada") as ada, edge.joined("bob") as bob:
            await ada.hear_of("bob", "joined")
            await bob.say(type="update_me", name="Bobby", request_id=1)
            assert (await bob.hear("ok"))["request_id"] == 1
            assert (await ada.hear_of("bob", "updated"))["name"] == "Bobby"
            await bob.say(type="leave")
            assert (await bob.closed())[0] == 1000
            assert (await ada.hear_of("bob", "left"))["reason"] == "client_left"

    async def test_a_dropped_websocket_is_resumed_with_what_was_missed(self, edge: Running) -> None:
        async with edge.joined("ada") as ada:
            async with edge.joined("bob"):
                await ada.hear_of("bob", "joined")
            ada.socket.transport.abort()
            async with edge.joined("carol"), edge.client("ada") as again:
                message = {"session_id": ada.session_id, "last_seq": ada.last_seq, "request_id": 4}
                await again.say(type="resume", protocol=1, **message)
                resumed = await again.hear("resumed")
                assert (resumed["request_id"], resumed["seq"], resumed["state"]) == (4, ada.last_seq, None)
                seen = set()
                while "carol" not in seen:
                    news = await again.hear("participants")
                    seen |= {person["identity"] for person in news["joined"]}
                    assert news["seq"] > ada.last_seq

    async def test_a_duplicate_identity_ends_the_older_session_with_a_reason(self, edge: Running) -> None:
        async with edge.joined("ada") as older, edge.joined("ada"):
            leave = await older.hear("leave")
            assert (leave["code"], leave["reconnect"]) == ("duplicate_identity", "no")
            assert (await older.closed())[0] == 4006

    async def test_kick_tells_and_closes(self, edge: Running) -> None:
        async with edge.joined("ada") as ada, httpx.AsyncClient(base_url=edge.url) as http:
            grant = token("", "standup")
            path = "/api/v1/rooms/standup/participants/ada"
            refused = await http.delete(path, headers={"Authorization": f"Bearer {grant}"})
            assert refused.status_code == 403
            edge.edge.service.remove_participant(RoomName("standup"), Identity("ada"))
            assert (await ada.hear("leave"))["code"] == "removed"
            assert (await ada.closed())[0] == 4006

    async def test_a_draining_server_tells_everyone_and_takes_nobody(self, edge: Running) -> None:
        async with edge.joined("ada") as ada:
            edge.edge.health.enter(type(edge.edge.health.state).DRAINING)
            with pytest.raises(InvalidStatus) as refusal:
                await connect(edge.signal_url(token("bob")))
            assert refusal.value.response.status_code == 503
            await edge.edge.service.close(1.0)
            leave = await ada.hear("leave")
            assert (leave["code"], leave["reconnect"]) == ("server_shutdown", "rejoin")
            assert (await ada.closed())[0] == 4006
            assert await edge.edge.connections.wait_empty(WAIT_S)


class TestTokens:
    async def test_a_long_token_fits_in_the_query_and_in_the_header(self, edge: Running) -> None:
        long = token("ada", metadata="m" * 40_000)
        assert len(long) > 50_000
        async with connect(edge.signal_url(long), max_size=None) as socket:
            await socket.send('{"type": "join", "protocol": 1}')
            assert json.loads(await socket.recv())["state"]["participant"]["metadata"] == "m" * 40_000
        headers = {"Authorization": f"Bearer {token('bob')}"}
        url = edge.signal_url("nonsense")
        async with connect(url, additional_headers=headers, max_size=None) as socket:
            await socket.send('{"type": "join", "protocol": 1}')
            assert json.loads(await socket.recv())["type"] == "joined"

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (token("ada", now=time.time() - 10 * 3600), "expired"),
            (token("ada", secret=OTHER), "signature"),
            ("eyJhbGciOiJub25lIn0.eyJpc3MiOiJkZXZrZXkifQ.", "HS256"),
            ("", "token is needed"),
            ("x" * 65_000, "not a JWT"),
        ],
    )
    async def test_a_bad_token_is_told_so_and_closed(self, edge: Running, bad: str, reason: str) -> None:
        async with connect(edge.signal_url(bad)) as socket:
            error = json.loads(await socket.recv())
            assert error["code"] == "unauthorized"
            assert reason in error["message"]
            await socket.wait_closed()
            assert socket.close_code == 4001

    async def test_validate_says_the_same_by_http(self, edge: Running) -> None:
        async with httpx.AsyncClient(base_url=edge.url) as http:
            good = await http.get("/signal/validate", params={"access_token": token("ada")})
            assert (good.status_code, good.text) == (200, "success")
            bad = await http.get("/signal/validate", params={"access_token": token("ada", secret=OTHER)})
            assert (bad.status_code, bad.json()["code"]) == (401, "unauthorized")


class TestHostileInput:
    """Each leaves another client in the room undisturbed."""

    @pytest.fixture(autouse=True)
    async def _witness(self, edge: Running) -> AsyncIterator[None]:
        async with edge.joined("witness") as witness:
            yield
            began_at = time.monotonic()
            await witness.say(type="ping", time=1)
            assert (await witness.hear("pong"))["time"] == 1
            assert time.monotonic() - began_at < 1.0

    async def test_a_huge_frame_is_refused_by_its_announced_length(self, edge: Running) -> None:
        async with raw_websocket(edge, "mallory") as (reader, writer):
            writer.write(frame(1, b"", length=2 * 1024**3))
            assert await close_code(reader) == 1009

    async def test_endless_fragments_are_refused(self, edge: Running) -> None:
        async with raw_websocket(edge, "mallory") as (reader, writer):
            writer.write(frame(1, b"[" * 60_000, fin=False))
            for _ in range(40):
                writer.write(frame(0, b"[" * 60_000, fin=False))
            assert await close_code(reader) == 1009

    async def test_compression_is_not_negotiated(self, edge: Running) -> None:
        async with connect(edge.signal_url(token("mallory"))) as socket:
            assert socket.protocol.extensions == []

    async def test_binary_and_text_that_is_no_utf8_are_refused(self, edge: Running) -> None:
        async with edge.joined("mallory") as client:
            await client.socket.send(b"\x00\x01")
            assert (await client.closed())[0] == 1003
        async with raw_websocket(edge, "mallory") as (reader, writer):
            writer.write(frame(1, b"\xff\xfe"))
            assert await close_code(reader) == 1007

    async def test_a_flood_of_messages_is_cut_off(self, edge: Running) -> None:
        async with edge.joined("mallory") as client:
            with contextlib.suppress(ConnectionClosed):
                for number in range(5000):
                    await client.say(type="ping", time=number)
            assert (await client.closed())[0] in (4011, 1006)

    async def test_a_flood_of_pings_that_reads_nothing_is_cut_off(self, edge: Running) -> None:
        async with raw_websocket(edge, "mallory") as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            ping = frame(9, b"p" * 125) * 100

            async def flood() -> None:
                while True:
                    writer.write(ping)
                    await writer.drain()

            with pytest.raises(ConnectionError):
                async with asyncio.timeout(WAIT_S):
                    await flood()

    async def test_a_peer_that_says_nothing_is_let_go(
        self, edge: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("signaling.server.REQUEST_TIMEOUT_S", 0.1)
        async with raw_connection(edge) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
            async with asyncio.timeout(WAIT_S):
                assert await reader.read() == b""

    async def test_a_head_that_no_websocket_has_is_refused(self, edge: Running) -> None:
        async with raw_connection(edge) as (reader, writer):
            head = b"GET /signal HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            writer.write(head + b"X: y\r\n" * 1000 + b"\r\n")
            async with asyncio.timeout(WAIT_S):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""

    async def test_a_head_without_end_is_refused(self, edge: Running) -> None:
        async with raw_connection(edge) as (reader, writer):
            writer.write(b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n")
            async with asyncio.timeout(WAIT_S):
                assert b" 400 " in await reader.readline()

    async def test_somebody_elses_session_cannot_be_resumed(self, edge: Running) -> None:
        async with edge.joined("ada") as ada:
            for identity, session_id in (("mallory", ada.session_id), ("ada", "SE_guess"), ("ada", "")):
                async with edge.client(identity) as client:
                    await client.say(type="resume", protocol=1, session_id=session_id, last_seq=0)
                    assert (await client.hear("error"))["code"] in ("session_gone", "bad_message")
                    assert (await client.closed())[0] in (4004, 4000)
            await ada.say(type="ping", time=2)
            await ada.hear("pong")

    async def test_somebody_elses_track_cannot_be_muted_or_ended(self, edge: Running) -> None:
        async with edge.joined("mallory") as mallory:
            for kind in ("mute", "unpublish"):
                await mallory.say(type=kind, track_id="TR_somebodys", muted=True, request_id=1)
                assert (await mallory.hear("error"))["code"] == "track_not_found"

    @pytest.mark.parametrize("room", ["../../etc", "a\u202eb", "__proto__", "日本"])
    async def test_strange_room_names_are_only_names(self, edge: Running, room: str) -> None:
        async with edge.joined("ada", room), edge.joined("bob", room) as bob:
            assert bob.session_id


async def test_a_slow_reader_is_cut_off_and_the_room_goes_on() -> None:
    async with (
        running_edge(limits={"queue_bytes": 300_000}) as edge,
        edge.joined("ada") as ada,
        raw_websocket(edge, "slow") as (_, writer),
    ):
        writer.write(frame(1, b'{"type": "join", "protocol": 1}'))
        await ada.hear_of("slow", "joined")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        number = 0
        while len(edge.edge.connections) > 1:
            number += 1
            edge.edge.service.update_room_metadata(RoomName("standup"), f"{number}:" + "m" * 60_000)
            assert (await ada.hear("room"))["room"]["metadata"].startswith(f"{number}:")
            assert number < 1000, "never cut off"
        cut_off = edge.edge.metrics.registry.get_sample_value(
            "airside_signaling_closed_total", {"code": "4008"}
        )
        assert cut_off == 1


async def test_a_peer_that_answers_no_ping_is_given_up() -> None:
    session = {"ping_interval_s": 0.1, "ping_timeout_s": 0.1}
    async with (
        running_edge(session=session) as edge,
        edge.joined("ada") as ada,
        raw_websocket(edge, "dead") as (reader, writer),
    ):
        writer.write(frame(1, b'{"type": "join", "protocol": 1}'))
        assert await close_code(reader) == 1011
        async with asyncio.timeout(WAIT_S):
            while len(edge.edge.connections) > 1:
                await asyncio.sleep(0.01)
        await ada.say(type="ping", time=1)
        await ada.hear("pong")


async def test_silence_before_join_is_cut_off() -> None:
    async with running_edge(session={"join_timeout_s": 0.1}) as edge, edge.client("ada") as client:
        assert (await client.closed())[0] == 4010
