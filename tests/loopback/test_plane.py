"""The facade on real workers: start, commands, events, end. Media is for the tests of whole calls."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import (
    Identity,
    Mid,
    ParticipantId,
    ParticipantSid,
    RoomId,
    SlotId,
    TapId,
    TrackId,
    TransportId,
    WorkerId,
)
from sfu.dataplane import _native, commands
from sfu.dataplane.commands import (
    AddTrack,
    AddTransport,
    Command,
    DataDialect,
    IceCredentials,
    LayerSpec,
    ReceiveCodec,
    RemoveTransport,
    Role,
    TransportSource,
    Wish,
)
from sfu.dataplane.events import CloseReason, CommandFailed, Event, TransportState, TransportStateChanged
from sfu.dataplane.plane import DataPlane

WAIT_S = 5.0
LOOPBACK = "127.0.0.1"


@pytest.fixture
async def plane() -> AsyncIterator[DataPlane]:
    plane = DataPlane(workers=2, bind=(LOOPBACK,), announce=(LOOPBACK,))
    yield plane
    await plane.close(WAIT_S)


class Listener:
    """Waits for events instead of for seconds."""

    def __init__(self, plane: DataPlane) -> None:
        self.events: list[Event] = []
        self._news = asyncio.Event()
        plane.subscribe_events(self._take)

    def _take(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    async def wait(self, count: int) -> list[Event]:
        async with asyncio.timeout(WAIT_S):
            while len(self.events) < count:
                self._news.clear()
                await self._news.wait()
        return self.events


def add_transport(plane: DataPlane, room: RoomId) -> TransportId:
    transport = plane.new_transport_id()
    credentials = plane.credentials(plane.place(room))
    plane.apply([AddTransport(transport, room, Role.SERVER, credentials)])
    return transport


async def test_what_a_client_needs_to_know(plane: DataPlane) -> None:
    assert plane.fingerprint.startswith("sha-256 ")
    assert plane.addresses(WorkerId(0)) == plane.addresses(WorkerId(1)) == plane.bound(WorkerId(0))
    credentials = plane.credentials(WorkerId(1))
    assert credentials.ufrag.startswith("01")
    assert credentials != plane.credentials(WorkerId(1))


async def test_removed_transport_says_so(plane: DataPlane) -> None:
    listener = Listener(plane)
    transport = add_transport(plane, plane.new_room_id())
    plane.apply([RemoveTransport(transport)])
    (event,) = await listener.wait(1)
    assert event == TransportStateChanged(
        WorkerId(0), transport, TransportState.CLOSED, CloseReason.REMOVED, None
    )


async def test_what_is_not_there_comes_back_as_an_event(plane: DataPlane) -> None:
    listener = Listener(plane)
    plane.apply([RemoveTransport(TransportId(77))])
    assert listener.events == []
    (event,) = await listener.wait(1)
    assert isinstance(event, CommandFailed)
    assert (event.command, event.id) == ("RemoveTransport", 77)


async def test_a_refused_command_does_not_cost_its_neighbours(plane: DataPlane) -> None:
    listener = Listener(plane)
    transport = plane.new_transport_id()
    broken = dataclasses.replace(plane.credentials(WorkerId(0)), password=None)  # type: ignore[arg-type]
    plane.apply([AddTransport(transport, plane.new_room_id(), Role.SERVER, broken)])
    other = add_transport(plane, plane.new_room_id())
    plane.apply([RemoveTransport(other)])
    failed, closed = await listener.wait(2)
    assert isinstance(failed, CommandFailed)
    assert "AddTransport.local" in failed.reason
    assert "IceCredentials.password" in failed.reason
    assert isinstance(closed, TransportStateChanged)
    assert closed.transport == other


async def test_a_listener_that_fails_does_not_silence_the_others(plane: DataPlane) -> None:
    def fail(_: Event) -> None:
        raise RuntimeError("a bug of the listener")

    plane.subscribe_events(fail)
    listener = Listener(plane)
    plane.apply([RemoveTransport(TransportId(1))])
    await listener.wait(1)


async def test_stats_come_from_every_worker(plane: DataPlane) -> None:
    first, second = await plane.stats()
    assert (first.worker, second.worker) == (0, 1)
    for stats in (first, second):
        (row,) = stats.rows("loop")
        assert row["sockets"] == 1
        assert row["cpu_ns"] > 0
        assert "drops" in stats.tables


async def test_a_datagram_of_nobody_is_counted(plane: DataPlane) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"\x80" + bytes(40), plane.bound(WorkerId(0))[0])
    async with asyncio.timeout(WAIT_S):
        while True:
            stats = await plane.stats()
            if sum(each.total("loop", "received_packets") for each in stats) == 1:
                break
    assert sum(sum(each.total("drops", reason) for reason in each.tables["drops"]) for each in stats) == 1


async def test_client_sockets_have_numbers_of_their_own(plane: DataPlane) -> None:
    one, address = plane.open_socket(WorkerId(0), LOOPBACK)
    two, other = plane.open_socket(WorkerId(0), LOOPBACK)
    assert (one, two) == (1, 2)
    assert address != other
    plane.close_socket(WorkerId(0), one)
    assert plane.open_socket(WorkerId(0), LOOPBACK)[0] == one


async def test_a_taken_port_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"{LOOPBACK}:{port}"):
            DataPlane(workers=2, bind=(LOOPBACK,), port=port)


async def test_a_port_for_each_worker() -> None:
    plane = DataPlane(workers=2, bind=(LOOPBACK,), port_per_worker=True, announce=("203.0.113.5", LOOPBACK))
    first, second = plane.addresses(WorkerId(0)), plane.addresses(WorkerId(1))
    assert first != second
    assert [ip for ip, _ in first] == ["203.0.113.5", LOOPBACK]
    assert {port for _, port in first} == {plane.bound(WorkerId(0))[0][1]}
    await plane.close(WAIT_S)


async def test_closing_ends_transports_and_may_be_repeated() -> None:
    plane = DataPlane(workers=1, bind=(LOOPBACK,))
    add_transport(plane, plane.new_room_id())
    await plane.close(WAIT_S)
    await plane.close(WAIT_S)
    plane.apply([])


def test_an_interpreter_that_ends_takes_its_workers_along() -> None:
    program = (
        "import asyncio\n"
        "from sfu.dataplane.plane import DataPlane\n"
        "async def main(): DataPlane(workers=2, bind=('127.0.0.1',))\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=False, timeout=30, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


class TestBorder:
    """What the native module makes of dataclasses, by class and field."""

    @pytest.fixture
    def native(self) -> _native.Plane:
        return _native.Plane(workers=1, bind=[], port_per_worker=False, voices=0, seed=1)

    def submit(self, native: _native.Plane, command: object) -> None:
        native.submit(0, [command])

    def track(self) -> AddTrack:
        return AddTrack(
            track=TrackId(1),
            room=RoomId(1),
            source=TransportSource(TransportId(1), Mid("0")),
            kind=MediaKind.VIDEO,
            codecs=(ReceiveCodec(96, Codec.VP8, 90000, 97, True, 1),),
            layers=(LayerSpec(rid="q"), LayerSpec(ssrc=5, rtx_ssrc=6, height_px=720)),
            muted=False,
            cname="alice",
        )

    def test_every_command_is_understood(self, native: _native.Plane) -> None:
        local = IceCredentials("00abcdef", "p" * 24)
        wish = Wish(720, 3, 100, True, False)
        samples: tuple[Command | commands.ReadStats, ...] = (
            AddTransport(TransportId(1), RoomId(1), Role.CLIENT, local, 3),
            commands.SetRemote(
                transport=TransportId(1),
                ice=local,
                fingerprints=(("sha-256", bytes(32)),),
                candidates=(("192.0.2.1", 9), ("2001:db8::1", 9)),
                extensions=((1, "urn:ietf:params:rtp-hdrext:sdes:mid"), (2, "urn:unknown")),
                allow_mixed=True,
                transport_cc=True,
                remb=False,
                data=True,
            ),
            commands.AddRemoteCandidate(TransportId(1), ("192.0.2.1", 10)),
            commands.RestartIce(TransportId(1), local),
            commands.LimitSending(TransportId(1), 100_000),
            commands.LimitSending(TransportId(1), None),
            self.track(),
            dataclasses.replace(self.track(), source=commands.RingSource(WorkerId(0))),
            dataclasses.replace(self.track(), source=commands.LocalSource()),
            dataclasses.replace(self.track(), source=commands.AudioGenerator()),
            dataclasses.replace(
                self.track(), source=commands.VideoGenerator((commands.VideoLayer(100_000, 15, 180),))
            ),
            commands.SetTrackMuted(TrackId(1), True),
            commands.AddTarget(TrackId(1), commands.RingTarget(WorkerId(0))),
            commands.AddTarget(TrackId(1), commands.TapTarget(TapId(1))),
            commands.RemoveTarget(TrackId(1), commands.MeterTarget(1)),
            commands.AddSlot(
                SlotId(1),
                TransportId(1),
                Mid("1"),
                None,
                MediaKind.AUDIO,
                7,
                8,
                (commands.SendCodec(111, Codec.OPUS, 48000, None, 1),),
            ),
            commands.Subscribe(SlotId(1), TrackId(1), wish),
            commands.UpdateSubscription(SlotId(1), wish),
            commands.Unsubscribe(SlotId(1)),
            commands.RequestKeyframe(TrackId(1), 0),
            commands.SetMember(
                RoomId(1),
                ParticipantId(1),
                Identity("a"),
                TransportId(1),
                DataDialect.NATIVE,
                can_publish=True,
                hidden=False,
                sid=ParticipantSid("PA_a"),
            ),
            commands.RemoveMember(RoomId(1), ParticipantId(1)),
            commands.SendData(RoomId(1), (ParticipantId(1),), True, "t", b"payload", ""),
            commands.SetDataTrack(TransportId(1), 1, 2, ((TransportId(2), WorkerId(0)),)),
            commands.RemoveDataTrack(TransportId(1), 1),
            commands.RemoveSlot(SlotId(1)),
            commands.RemoveTrack(TrackId(1)),
            RemoveTransport(TransportId(1)),
            commands.ReadStats(1),
        )
        for sample in samples:
            self.submit(native, sample)
        used = {type(sample).__name__ for sample in samples}
        assert used == {each.__name__ for each in commands.Command.__args__} | {"ReadStats"}

    @pytest.mark.parametrize(
        ("change", "error", "text"),
        [
            ({"track": "one"}, TypeError, "AddTrack.track"),
            ({"track": -1}, ValueError, "AddTrack.track"),
            ({"kind": "smell"}, ValueError, 'AddTrack.kind: "smell" is unknown'),
            ({"codecs": 5}, TypeError, "AddTrack.codecs"),
            (
                {"codecs": (ReceiveCodec(300, Codec.VP8, 90000, 97, True, 1),)},
                ValueError,
                "AddTrack.codecs: ReceiveCodec.payload_type",
            ),
            ({"source": None}, TypeError, "NoneType is not a source"),
            ({"layers": (object(),)}, TypeError, "AddTrack.layers: object.rid is missing"),
        ],
    )
    def test_a_wrong_field_is_named(
        self, native: _native.Plane, change: dict[str, object], error: type[Exception], text: str
    ) -> None:
        wrong = dataclasses.replace(self.track(), **change)  # type: ignore[arg-type]
        with pytest.raises(error, match=text):
            self.submit(native, wrong)

    def test_a_wrong_address_is_named(self, native: _native.Plane) -> None:
        candidate = commands.AddRemoteCandidate(TransportId(1), ("localhost", 1))
        with pytest.raises(ValueError, match=r'AddRemoteCandidate\.address: "localhost"'):
            self.submit(native, candidate)

    def test_something_else_is_no_command(self, native: _native.Plane) -> None:
        with pytest.raises(TypeError, match="str is not a command"):
            self.submit(native, "AddTrack")

    def test_workers_taps_and_the_end(self, native: _native.Plane) -> None:
        with pytest.raises(ValueError, match="worker"):
            native.submit(7, [])
        with pytest.raises(ValueError, match="tap"):
            native.read_tap(1, 1)
        native.open_tap(0, 1)
        assert native.read_tap(1, 10) == []
        native.close(WAIT_S)
        native.close(WAIT_S)
        with pytest.raises(RuntimeError, match="closed"):
            native.submit(0, [])
        with pytest.raises(ValueError, match="deadline_s"):
            native.close(-1.0)

    def test_an_address_has_to_be_one(self) -> None:
        with pytest.raises(ValueError, match="localhost"):
            _native.Plane(workers=1, bind=["localhost:1"], port_per_worker=False, voices=0, seed=1)
