"""SIGTERM against a real process in the middle of calls: clients told, process gone in time."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu.agents import Disconnected, PcmSource, Publication, Room
from tests.loopback.waiting import until
from tests.support.server import Server, running_server

DEADLINE_S = 10.0  # shutdown.deadline_s by default
CLIENTS = 50


async def join(server: Server, identity: str, room: str = "standup") -> ClientConnection:
    url = f"{server.ws_url}/signal?access_token={server.token(room, identity)}"
    client = await connect(url, max_size=None)
    await client.send('{"type": "join", "protocol": 1}')
    assert json.loads(await client.recv())["type"] == "joined"
    return client


async def last_message(client: ClientConnection) -> Any:
    message: Any = None
    try:
        while True:
            message = json.loads(await client.recv())
    except ConnectionClosed:
        return message


async def test_everyone_is_told_and_the_process_ends(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        clients = await asyncio.gather(*(join(server, f"client-{number}") for number in range(CLIENTS)))
        listening = [asyncio.create_task(last_message(client)) for client in clients]
        began_at = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - began_at < DEADLINE_S / 2
        for message in await asyncio.gather(*listening):
            assert (message["type"], message["code"]) == ("leave", "server_shutdown")
            assert message["reconnect"] == "rejoin"
        assert all(client.close_code == 4006 for client in clients)


async def test_a_call_is_told_in_its_middle(tmp_path: Path) -> None:
    voice = PcmSource()
    async with running_server(tmp_path) as server:
        alice_token, bob_token = server.token("call", "alice"), server.token("call", "bob")
        publish = [Publication(voice, "microphone")]
        async with (
            Room.connect(server.ws_url, alice_token, publish=publish) as alice,
            Room.connect(server.ws_url, bob_token) as bob,
        ):
            await asyncio.gather(alice.connected(), bob.connected())
            await until(lambda: any(track.subscribed for track in bob.tracks.values()))
            with next(iter(bob.tracks.values())).raw_audio() as heard:
                await anext(heard)
                ends = [asyncio.create_task(room.wait_for(Disconnected)) for room in (alice, bob)]
                began_at = time.monotonic()
                assert await server.stop() == 0
                assert time.monotonic() - began_at < DEADLINE_S / 2
                for end in await asyncio.gather(*ends):
                    assert (end.code, end.rejoin) == ("server_shutdown", True)
        log = server.log.read_text()
        assert "ERROR" not in log, log


async def test_a_client_that_reads_nothing_does_not_hold_it_up(tmp_path: Path) -> None:
    async with running_server(tmp_path, shutdown__deadline_s="3") as server:
        client = await join(server, "deaf")
        client.transport.pause_reading()
        idle_reader, idle_writer = await asyncio.open_connection(server.host, server.http_port)
        began_at = time.monotonic()
        assert await server.stop() == 0
        assert time.monotonic() - began_at < 3.0
        idle_writer.close()
        del idle_reader
        client.transport.abort()


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def stop_twice() -> None:
        async with running_server(tmp_path) as server:
            client = await join(server, "ada")
            began_at = time.monotonic()
            # Both wait while it is stopped, so that the second comes before the first is acted on.
            for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
                server.process.send_signal(number)
            await server.process.wait()
            assert time.monotonic() - began_at < 2.0
            client.transport.abort()

    with pytest.raises(AssertionError, match="the server ended with 1"):
        await stop_twice()


async def test_ctrl_c_ends_it_as_well(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        server.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(server.process.wait(), DEADLINE_S) == 0


async def test_its_ports_are_free_afterwards(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        pass
    with socket.create_server((server.host, server.http_port)):
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((server.host, server.udp_port))
