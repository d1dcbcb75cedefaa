"""The Python client against the real control plane over a real WebSocket; media is silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from sfu.agents import (
    ConnectError,
    Disconnected,
    MutedByServer,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantUpdated,
    PcmSource,
    PermissionsChanged,
    Publication,
    Reconnected,
    Reconnecting,
    RequestError,
    Room,
    RoomUpdated,
    SubscriptionFailed,
    TrackMuted,
    TrackPublished,
    TrackSubscribed,
    TrackUnpublished,
    TrackUnsubscribed,
    UnpublishedByServer,
    VideoSource,
)
from sfu.agents.media import MediaListener
from sfu.core.codecs import Codec
from sfu.core.ids import Identity, RoomName, TrackSid
from sfu.transport.sdp.codecs import CodecPolicy
from tests.loopback.control import Control, control_plane
from tests.loopback.silent_media import SilentMedia
from tests.loopback.waiting import until


@pytest.fixture
async def control() -> AsyncIterator[Control]:
    async with control_plane() as running:
        yield running


class Rooms:
    """Rooms that a test enters, left when it ends."""

    def __init__(self, control: Control, stack: AsyncExitStack) -> None:
        self._control = control
        self._stack = stack

    async def join(
        self, identity: str, *, room: str = "lab", grant: dict[str, Any] | None = None, **options: Any
    ) -> Room:
        token = self._control.token(room, identity, **(grant or {}))
        return await self._stack.enter_async_context(
            Room.connect(self._control.url, token, **{"media": SilentMedia, **options})
        )


@pytest.fixture
async def rooms(control: Control) -> AsyncIterator[Rooms]:
    async with AsyncExitStack() as stack:
        yield Rooms(control, stack)


async def test_join_sees_who_is_there_and_leave_is_seen(rooms: Rooms) -> None:
    alice = await rooms.join("alice")
    assert alice.info.name == "lab"
    assert alice.me.identity == "alice"
    with alice.events() as events:
        bob = await rooms.join("bob")
        assert set(bob.participants) == {"alice"}
        joined = await anext(events)
        assert isinstance(joined, ParticipantJoined)
        assert joined.participant.identity == "bob"
        await bob.close()
        left = await alice.wait_for(ParticipantLeft)
    assert left.reason == "client_left"
    assert alice.participants == {}


async def test_published_tracks_are_announced_and_bound(rooms: Rooms, control: Control) -> None:
    alice = await rooms.join("alice", publish=[Publication(PcmSource(), "microphone", "voice")])
    (microphone,) = alice.local_tracks.values()
    assert microphone.info.name == "voice"
    bob = await rooms.join("bob")
    track = bob.tracks[microphone.id]
    await until(lambda: track.subscribed)
    assert (track.id, track.source, track.mid) == (microphone.id, "microphone", "0")
    published = asyncio.create_task(bob.wait_for(TrackPublished))
    camera = await alice.publish_video(VideoSource(), width=640, height=360)
    assert (await published).track.id == camera.id
    assert control.plane.carries, "the packet plane was told"


async def test_unpublish_and_publish_again_uses_the_section(rooms: Rooms) -> None:
    alice = await rooms.join("alice")
    bob = await rooms.join("bob")
    mids = set()
    for _ in range(3):
        published = asyncio.create_task(bob.wait_for(TrackPublished))
        track = await alice.publish_audio(PcmSource())
        mids.add(track.mid)
        await published
        gone = asyncio.create_task(bob.wait_for(TrackUnpublished))
        await track.unpublish()
        assert (await gone).track.id == track.id
        assert not track.published
    assert alice.local_tracks == {}
    assert len(mids) == 3, "our silent stack takes a new section each time"


async def test_more_tracks_than_sections(rooms: Rooms) -> None:
    sources = [Publication(PcmSource(), "microphone", str(number)) for number in range(5)]
    await rooms.join("alice", publish=sources)
    bob = await rooms.join("bob", receive=(2, 1))
    await until(lambda: sum(track.subscribed for track in bob.tracks.values()) == 5)
    assert len({track.mid for track in bob.tracks.values()}) == 5


async def test_chosen_subscriptions(rooms: Rooms, control: Control) -> None:
    alice = await rooms.join("alice")
    bob = await rooms.join("bob", auto_subscribe=False)
    published = asyncio.create_task(bob.wait_for(TrackPublished))
    await alice.publish_video(VideoSource(), width=1280, height=720)
    track = (await published).track
    assert not track.subscribed
    bound = asyncio.create_task(bob.wait_for(TrackSubscribed))
    await track.subscribe(max_height_px=360)
    await bound
    await track.configure(max_height_px=180)
    ((_, wish),) = control.plane.carries.values()
    assert wish.max_height_px == 180
    unbound = asyncio.create_task(bob.wait_for(TrackUnsubscribed))
    await track.unsubscribe()
    await unbound
    assert control.plane.carries == {}


async def test_mute_by_owner_and_by_server(rooms: Rooms, control: Control) -> None:
    source = PcmSource()
    alice = await rooms.join("alice", publish=[Publication(source, "microphone")])
    bob = await rooms.join("bob")
    (track,) = alice.local_tracks.values()
    muted = asyncio.create_task(bob.wait_for(TrackMuted, lambda event: event.track.muted))
    await track.mute()
    await muted
    unmuted = asyncio.create_task(bob.wait_for(TrackMuted, lambda event: not event.track.muted))
    await track.unmute()
    await unmuted
    by_server = asyncio.create_task(alice.wait_for(MutedByServer))
    control.service.mute_track(RoomName("lab"), Identity("alice"), TrackSid(track.id), True)
    assert (await by_server).track is track
    assert track.muted


async def test_metadata_and_room_updates(rooms: Rooms, control: Control) -> None:
    alice = await rooms.join("alice", grant={"canUpdateOwnMetadata": True})
    bob = await rooms.join("bob")
    seen = asyncio.create_task(bob.wait_for(ParticipantUpdated, lambda e: e.participant.name == "Ada"))
    await alice.update_me(name="Ada", attributes={"mood": "calm"})
    assert (await seen).participant.attributes == {"mood": "calm"}
    with pytest.raises(RequestError, match="permission_denied"):
        await bob.update_me(name="Bob")
    updated = asyncio.create_task(bob.wait_for(RoomUpdated))
    control.service.update_room_metadata(RoomName("lab"), "topic")
    assert (await updated).info.metadata == "topic"
    assert bob.info.metadata == "topic"


async def test_permission_change_ends_tracks(rooms: Rooms, control: Control) -> None:
    alice = await rooms.join("alice", publish=[Publication(PcmSource(), "microphone")])
    ended = asyncio.create_task(alice.wait_for(UnpublishedByServer))
    changed = asyncio.create_task(alice.wait_for(PermissionsChanged))
    member = control.service.get_participant(RoomName("lab"), Identity("alice"))
    permissions = replace(member.permissions, can_publish=False)
    control.service.update_participant(RoomName("lab"), Identity("alice"), permissions=permissions)
    assert (await ended).code == "permission_denied"
    assert not (await changed).permissions.can_publish
    assert alice.local_tracks == {}
    with pytest.raises(RequestError, match="permission_denied"):
        await alice.publish_audio(PcmSource())


async def test_removed_and_duplicate_identity(rooms: Rooms, control: Control) -> None:
    first = await rooms.join("alice")
    ended = asyncio.create_task(first.wait_for(Disconnected))
    second = await rooms.join("alice")
    assert (await ended).code == "duplicate_identity"
    assert not (await ended).rejoin
    removed = asyncio.create_task(second.wait_for(Disconnected))
    control.service.remove_participant(RoomName("lab"), Identity("alice"))
    assert (await removed).code == "removed"
    assert second.disconnected is not None
    with pytest.raises(Exception, match=r"removed|closed"):
        await second.publish_audio(PcmSource())


async def test_a_lost_websocket_is_resumed_without_touching_media(rooms: Rooms, control: Control) -> None:
    alice = await rooms.join("alice", publish=[Publication(PcmSource(), "microphone")])
    await rooms.join("bob")
    transports = dict(control.plane.transports)
    lost = asyncio.create_task(alice.wait_for(Reconnecting))
    back = asyncio.create_task(alice.wait_for(Reconnected))
    await alice._signal.drop()
    await lost
    await rooms.join("carol")
    await back
    await until(lambda: set(alice.participants) == {"bob", "carol"})
    assert len(control.plane.transports) == len(transports) + 1
    assert set(transports) <= set(control.plane.transports)
    track = await alice.publish_audio(PcmSource(), name="after")
    assert track.published


async def test_refused_joins(rooms: Rooms, control: Control) -> None:
    with pytest.raises(ConnectError) as caught:
        async with Room.connect(control.url, "nonsense", media=SilentMedia):
            pass
    assert caught.value.code == "unauthorized"
    with pytest.raises(ConnectError) as caught:
        async with Room.connect("ws://127.0.0.1:9", "nonsense", media=SilentMedia):
            pass
    assert caught.value.code == "unreachable"
    with pytest.raises(ConnectError) as caught:
        await rooms.join("eve", grant={"canPublish": False}, publish=[Publication(PcmSource(), "microphone")])
    assert caught.value.code == "permission_denied"


async def test_no_common_codec_is_said(rooms: Rooms) -> None:
    def vp8_only(listener: MediaListener) -> SilentMedia:
        return SilentMedia(listener, CodecPolicy(video=(Codec.VP8,)))

    def h264_only(listener: MediaListener) -> SilentMedia:
        return SilentMedia(listener, CodecPolicy(video=(Codec.H264,)))

    alice = await rooms.join("alice", media=vp8_only)
    bob = await rooms.join("bob", media=h264_only)
    failed = asyncio.create_task(bob.wait_for(SubscriptionFailed))
    await alice.publish_video(VideoSource())
    event = await failed
    assert event.code == "no_common_codec"
    assert "VP8" in event.message
    assert "H264" in event.message


@pytest.mark.parametrize("arrives", [True, False])
async def test_an_offer_whose_answer_is_lost_is_repeated(rooms: Rooms, arrives: bool) -> None:
    alice = await rooms.join("alice")
    bob = await rooms.join("bob")
    socket = alice._signal._socket
    assert socket is not None
    send = socket.send

    async def send_and_lose(text: str) -> None:
        if arrives:
            await send(text)
            # Long enough for the server to read it, too short for the answer to be read here.
            await asyncio.sleep(0)
        socket.transport.abort()

    socket.send = send_and_lose  # type: ignore[method-assign, assignment]
    track = await alice.publish_audio(PcmSource(), name="once")
    await until(lambda: set(bob.tracks) == {track.id})
    await until(lambda: bob.tracks[track.id].subscribed)
    again = await alice.publish_audio(PcmSource(), name="twice")
    await until(lambda: set(bob.tracks) == {track.id, again.id})
