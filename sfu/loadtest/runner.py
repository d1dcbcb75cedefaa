"""Drives the clients: join at a rate, wait until media flows, measure, leave."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from sfu.core.codecs import MediaKind
from sfu.core.errors import AirsideError
from sfu.core.ids import RoomName, TransportId
from sfu.dataplane.events import DataReady, Event, TransportStateChanged, WorkerStats
from sfu.dataplane.plane import DataPlane
from sfu.loadtest.client import Client, ClientSpec
from sfu.loadtest.data import DataMeter, DataSender
from sfu.loadtest.options import MAX_TRACKS_PER_SUBSCRIBER, Options
from sfu.loadtest.progress import OnProgress, Progress
from sfu.loadtest.report import DataReport, Joins, Quantiles, Reading, Report, measure
from sfu.loadtest.server_load import metrics_url, read_cpu_s
from sfu.loadtest.signal import JoinFailedError, signal_url
from sfu.participants.permissions import Grant
from signaling.auth import create_token

log = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 0.5
SETTLE_TIMEOUT_S = 10.0
"""For the first packet of every track, after everybody has joined."""
CLOSE_DEADLINE_S = 5.0
LEAVERS_AT_ONCE = 50


class LoadTestError(AirsideError):
    """The options make no sense, or the server cannot be found."""

    code = "load_test"


def specs(options: Options) -> list[ClientSpec]:
    """Every client: publishers of all rooms first, so that subscribers find them."""
    rooms = [options.room if options.rooms == 1 else f"{options.room}-{n + 1}" for n in range(options.rooms)]
    publish = [MediaKind.AUDIO] * options.audio_publishers + [MediaKind.VIDEO] * options.video_publishers
    publishers = [
        ClientSpec(room, f"publisher-{number + 1}", kind)
        for room in rooms
        for number, kind in enumerate(publish)
    ]
    senders = [
        ClientSpec(room, f"sender-{number + 1}", send_data=True)
        for room in rooms
        for number in range(options.data_publishers)
    ]
    subscribers = [
        ClientSpec(
            room,
            f"subscriber-{number + 1}",
            receive_audio=options.audio_publishers,
            receive_video=options.video_publishers,
        )
        for room in rooms
        for number in range(options.subscribers)
    ]
    return publishers + senders + subscribers


async def run(options: Options, on_progress: OnProgress = lambda _: None) -> Report:
    """Run a load test.

    Raises:
        LoadTestError: Options that cannot be met, or no way to the server. To be refused is a result.
    """
    if options.tracks > MAX_TRACKS_PER_SUBSCRIBER:
        raise LoadTestError(f"a subscriber can receive {MAX_TRACKS_PER_SUBSCRIBER} tracks at most")
    if not options.clients:
        raise LoadTestError("no clients: give publishers or subscribers")
    local_address = await _route(options.url)
    plane = DataPlane(workers=options.workers)
    test = _Test(options, plane, local_address, on_progress)
    try:
        return await test.run()
    finally:
        await test.leave()
        await plane.close(CLOSE_DEADLINE_S)


class _Test:
    def __init__(
        self, options: Options, plane: DataPlane, local_address: str, on_progress: OnProgress
    ) -> None:
        self._options = options
        self._plane = plane
        self._local_address = local_address
        self._on_progress = on_progress
        self._clients: dict[TransportId, Client] = {}
        self._failed: Counter[str] = Counter()
        self._succeeded = 0
        self._packets = (time.monotonic(), 0)
        self._metrics_url = options.metrics_url or metrics_url(options.url)
        self._meter = DataMeter(plane)
        self._sender = DataSender(
            plane, options.data_rate, options.data_bytes, reliable=options.data_reliable
        )
        plane.subscribe_events(self._on_event)

    async def run(self) -> Report:
        await self._join()
        await self._settle()
        senders = [client.transport for client in self._clients.values() if client.spec.send_data]
        sending = asyncio.create_task(self._sender.run(senders))
        try:
            before = await self._read()
            await self._wait(self._options.duration_s)
            after = await self._read()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        workers = await self._plane.stats()
        data = await self._data(before, after) if senders else None
        ended = Counter(client.ended for client in self._clients.values() if client.ended)
        return measure(
            before,
            after,
            self._joins(workers),
            ended=ended,
            tracks_expected=self._options.rooms * self._options.subscribers * self._options.tracks,
            tracks_received=_tracks(workers),
            data=data,
        )

    async def _data(self, before: Reading, after: Reading) -> DataReport:
        """What became of the messages, once those on their way have had time to arrive."""
        expected = self._sender.sent * (self._options.members - 1)
        until = time.monotonic() + SETTLE_TIMEOUT_S
        while self._meter.messages < expected and time.monotonic() < until:
            seen = self._meter.messages
            await asyncio.sleep(PROGRESS_INTERVAL_S)
            if self._meter.messages == seen:
                break
        return DataReport(
            sent=self._sender.sent,
            expected=expected,
            received=self._meter.messages,
            received_per_s=(after.data_messages - before.data_messages) / (after.at_s - before.at_s),
            latency_s=Quantiles.of(self._meter.latency_s),
        )

    async def leave(self) -> None:
        """Everybody goes."""
        clients = list(self._clients.values())
        for first in range(0, len(clients), LEAVERS_AT_ONCE):
            self._tell("leaving", first / len(clients), [])
            some = clients[first : first + LEAVERS_AT_ONCE]
            await asyncio.gather(*(client.close() for client in some), return_exceptions=True)
        self._clients.clear()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TransportStateChanged):
            client = self._clients.get(event.transport)
            if client is not None:
                client.on_transport(event)
        elif isinstance(event, DataReady):
            client = self._clients.get(event.transport)
            if client is not None:
                client.on_data_ready()

    async def _join(self) -> None:
        everybody = specs(self._options)
        begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for index, spec in enumerate(everybody):
                await asyncio.sleep(begun + index / self._options.joins_per_s - time.monotonic())
                tasks.create_task(self._join_one(spec, index))
                if index % max(1, int(self._options.joins_per_s * PROGRESS_INTERVAL_S)) == 0:
                    self._tell("joining", index / len(everybody), await self._plane.stats())

    async def _join_one(self, spec: ClientSpec, number: int) -> None:
        client = Client(self._plane, self._options, spec, self._local_address, number)
        self._clients[client.transport] = client
        try:
            self._plane.read_messages(client.transport, self._meter.on_message)
            await client.run(self._token(spec))
        except JoinFailedError as error:
            log.warning("%s of %s: %s", spec.identity, spec.room, error)
            self._failed[error.reason] += 1
            del self._clients[client.transport]
            await client.close()
        else:
            self._succeeded += 1

    def _token(self, spec: ClientSpec) -> str:
        options = self._options
        grant = Grant(room=RoomName(spec.room), room_join=True)
        return create_token(
            options.api_key, options.api_secret, grant, now=time.time(), identity=spec.identity
        )

    async def _settle(self) -> None:
        wanted = self._options.rooms * self._options.subscribers * self._options.tracks
        until = time.monotonic() + SETTLE_TIMEOUT_S
        while time.monotonic() < until:
            workers = await self._plane.stats()
            tracks = _tracks(workers)
            ready = not self._options.data_publishers or all(
                client.data_ready for client in self._clients.values()
            )
            if tracks >= wanted and ready:
                return
            self._tell("settling", tracks / max(1, wanted), workers)
            await asyncio.sleep(PROGRESS_INTERVAL_S)

    async def _wait(self, seconds: float) -> None:
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            self._tell("measuring", passed / seconds, await self._plane.stats())
            await asyncio.sleep(min(PROGRESS_INTERVAL_S, seconds - passed))

    async def _read(self) -> Reading:
        server_cpu_s = await read_cpu_s(self._metrics_url)
        workers = await self._plane.stats()
        return Reading.of(workers, time.monotonic(), server_cpu_s, self._meter.messages)

    def _joins(self, workers: Iterable[WorkerStats]) -> Joins:
        clients = list(self._clients.values())
        epoch = time.monotonic() - self._plane.age_s
        arrivals = {
            int(row["meter"]): epoch + row["first_arrival_us"] / 1e6
            for worker in workers
            for row in worker.rows("meters")
            if row["packets"]
        }
        firsts = [
            min(found) - client.started
            for client in clients
            if (found := [arrivals[meter] for meter in client.meters if meter in arrivals])
        ]
        return Joins(
            wanted=self._options.clients,
            succeeded=self._succeeded,
            failed=self._failed,
            joined_s=Quantiles.of(each.joined_s for each in clients if each.joined_s is not None),
            connected_s=Quantiles.of(each.connected_s for each in clients if each.connected_s is not None),
            media_s=Quantiles.of(firsts),
        )

    def _tell(self, phase: str, done: float, workers: list[WorkerStats]) -> None:
        now, packets = time.monotonic(), int(sum(each.total("meters", "packets") for each in workers))
        then, before = self._packets
        rate = (packets - before) / (now - then) if workers and now > then else 0.0
        if workers:
            self._packets = (now, packets)
        failed = self._failed.total()
        self._on_progress(Progress(phase, done, self._succeeded, failed, max(0.0, rate), _tracks(workers)))


def _tracks(workers: Iterable[WorkerStats]) -> int:
    """Received streams that have brought a packet."""
    columns = [worker.tables.get("meters", {}).get("packets", ()) for worker in workers]
    return sum(1 for column in columns for packets in column if packets)


async def _route(url: str) -> str:
    """Our address towards the server: client sockets are bound to it, so that paths are unambiguous."""
    parts = urlsplit(signal_url(url))
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            # Sends nothing: the kernel only looks up the route.
            probe.connect(address)
            return str(probe.getsockname()[0])
    except OSError as error:
        raise LoadTestError(f"no way to {parts.hostname}: {error}") from error
