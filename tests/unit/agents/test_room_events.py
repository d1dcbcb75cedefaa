"""What the server says about networks becomes events of the room."""

from __future__ import annotations

import asyncio

from sfu.agents import QualityChanged, Room, RoomEvent, StreamStateChanged
from signaling.native import messages
from signaling.native.values import ConnectionQuality, ParticipantInfo, TrackInfo

CAMERA = TrackInfo(id="TR_1", participant_id="PA_bob", identity="bob", kind="video", source="camera")


async def heard(*said: messages.Event) -> list[RoomEvent]:
    room = Room.connect("ws://127.0.0.1", "token")
    stream = room.events()
    for event in said:
        room.on_event(event)
    async with asyncio.timeout(1):
        return [await anext(stream) for _ in said]


async def test_qualities_are_named_by_identity() -> None:
    bob = ConnectionQuality(participant_id="PA_bob", identity="bob", quality="poor", score=2.0)
    (event,) = await heard(messages.Quality(participants=(bob,)))
    assert event == QualityChanged((("bob", "poor"),))


async def test_a_stream_says_why_it_is_held_back() -> None:
    bob = ParticipantInfo(id="PA_bob", identity="bob", tracks=(CAMERA,))
    text = "paused: the link gives 40 kbit/s, the lowest layer needs 71"
    state = messages.StreamState(track_id="TR_1", state="paused", reason="paused", message=text)
    stranger = messages.StreamState(track_id="TR_2", state="active", reason="wanted", message="")
    room = Room.connect("ws://127.0.0.1", "token")
    stream = room.events()
    room._roster.apply(messages.Participants(joined=(bob,)))
    for event in (stranger, state):
        room.on_event(event)
    async with asyncio.timeout(1):
        while not isinstance(news := await anext(stream), StreamStateChanged):
            continue
    assert (news.track.id, news.paused, news.height_px, news.message) == ("TR_1", True, 0, text)
